"""Which base an adapter is probably of: by what its config and its card say, and by the shapes of its modules."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from marketplace.bases.models import Base
from marketplace.bases.recognition import Recognition, is_path, recognise
from marketplace.bases.shapes import Fit, Module, fitting_bases, lineages, shape_conflicts

Source = Literal["config", "card", "shapes", ""]
#: Cards of merges list many parents.
_MAX_CARD_NAMES = 5
_MAX_NAMED = 5


@dataclass(frozen=True)
class Suggestion:
    """``base`` is what to take unless somebody says otherwise, by ``source``. Where shapes alone speak for it, the
    uploader confirms it. ``fits`` are all bases that the tensors fit; ``note`` says all of it in sentences."""

    base: Base | None = None
    source: Source = ""
    note: str = ""
    fits: Sequence[Fit] = ()

    @property
    def named(self) -> Base | None:
        """The base where a name speaks for it, which needs nobody's confirmation."""
        return self.base if self.source in ("config", "card") else None


def suggest_base(
    *, config_name: str, card_names: Iterable[str] = (), modules: Sequence[Module] = (), task: str = ""
) -> Suggestion:
    """``modules`` are empty while the check runs: then names alone count."""
    fits = fitting_bases(modules, task)
    said = [("config", config_name), *(("card", name) for name in list(card_names)[:_MAX_CARD_NAMES])]
    recognised = [(source, recognise(name)) for source, name in said if name.strip()]
    for source, found in recognised:
        if found.base is not None and not shape_conflicts(found.base, modules, task):
            note = "" if source == "config" and not found.is_copy else _named_note(source, found, bool(modules))
            return Suggestion(found.base, "config" if source == "config" else "card", note, fits)
    words = [_unresolved_note(found) for _, found in recognised[:1]] or ["The config names no base."]
    families = lineages(fit.base for fit in (_whole(fits) or fits))
    if not families:
        if modules:
            words.append("The tensors fit no base that is registered here.")
        return Suggestion(None, "", " ".join(words), fits)
    if len(families) > 1:
        words.append(f"These tensors fit {listing(fits)}.")
        return Suggestion(None, "", " ".join(words), fits)
    base, *rest = next(iter(families.values()))
    words.append(f"These tensors fit {base.name}" + (f", and {_names(rest)}, made from it." if rest else " alone."))
    return Suggestion(base, "shapes", " ".join(words), fits)


def _whole(fits: Sequence[Fit]) -> list[Fit]:
    """Those whose every layer is adapted: deeper models of the same widths fit too, and are rarely meant."""
    return [fit for fit in fits if fit.whole]


def _named_note(source: str, found: Recognition, compared: bool) -> str:
    assert found.base is not None
    where = "The config names" if source == "config" else "The config names no base that is known here; the card names"
    if not found.is_copy:
        words = f"{where} {found.base.name}"
    elif found.certain:
        words = f"{where} {found.name}, another name for {found.base.name}"
    else:
        what = "the path" if is_path(found.name) else ""
        words = f"{where} {what + ' ' if what else ''}{found.name}, which looks like {found.base.name}"
    return words + (", and the tensors fit." if compared and found.base.state == Base.State.READY else ".")


def _unresolved_note(found: Recognition) -> str:
    if found.base is not None:
        return f"The name {found.name[:200]} looks like {found.base.name}, but the tensors do not fit it."
    if found.canonical and found.is_copy:
        kind = "is a copy of" if found.certain else "looks like"
        return f"{found.name[:200]} {kind} {found.canonical}, which this site does not hold."
    if is_path(found.name):
        return f"The config names a folder, {found.name[:200]}, and not a base."
    return f"This site does not hold the base {found.name[:200]}."


def listing(fits: Sequence[Fit]) -> str:
    """``A, B and C``, with a count of the rest."""
    return _names([fit.base for fit in fits])


def _names(bases: Sequence[Base]) -> str:
    names = [base.name for base in bases[:_MAX_NAMED]]
    if len(bases) > _MAX_NAMED:
        names.append(f"{len(bases) - _MAX_NAMED} more")
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def suggestion_for(artifact: Any, suggested: dict[str, Any]) -> Suggestion:
    """Of an ``Artifact`` and what was read from an upload's card."""
    summary = artifact.summary if artifact is not None else {}
    names = suggested.get("base_models") or [suggested.get("base_model", "")]
    return suggest_base(
        config_name=str(summary.get("base_model_name") or ""),
        card_names=[name for name in names if isinstance(name, str)],
        modules=artifact.modules if artifact is not None else (),
        task=str(summary.get("task_type") or ""),
    )
