"""What owners answer to the question which base an adapter is of. Theirs is the last word."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from marketplace.bases.models import Base, BaseChoice
from marketplace.bases.recognition import recognise
from marketplace.bases.shapes import Module, shape_conflicts
from marketplace.bases.suggestion import suggestion_for
from marketplace.core.errors import Invalid

#: The answer that means: none of the bases here. No base can have this name.
NONE = "-"
#: Bases to choose from while nothing is known about an adapter.
MAX_CHOICES = 200


def base_of_upload(artifact: Any, suggested: dict[str, Any], answer: str) -> Base | None:
    """The uploader's answer, else what config or card name. Shapes alone are a suggestion, which waits for an answer.

    Raises ``Invalid`` for an answer that names no base here, or one that the tensors do not fit.
    """
    if answer:
        return base_by_answer(artifact.modules, answer)
    base: Base | None = artifact.base or suggestion_for(artifact, suggested).named
    return base


def base_by_answer(modules: Sequence[Module], answer: str) -> Base | None:
    """None for ``NONE``. Raises ``Invalid``."""
    if answer == NONE:
        return None
    base = recognise(answer).base
    if base is None:
        sentence = f"There is no base “{answer[:100]}”. Choose one of the list, or leave it open."
        raise Invalid(sentence, extra={"fields": {"base": [sentence]}})
    conflicts = shape_conflicts(base, modules)
    if conflicts:
        sentence = f"The adapter does not fit {base.name}. {conflicts[0]}"
        raise Invalid(sentence, extra={"fields": {"base": [sentence]}})
    return base


def remember_answer(adapter: Any, answer: str, base: Base | None) -> None:
    """Keep an answer, so that nothing that is found later changes it; an empty one takes the last one back.

    Call inside a transaction, permission checked.
    """
    if answer:
        BaseChoice.objects.update_or_create(adapter=adapter, defaults={"base": base})
    else:
        BaseChoice.objects.filter(adapter=adapter).delete()


def owners_choice(adapter: Any, modules: Sequence[Module], found: Base | None) -> Base | None:
    """``found``, unless the owner has answered otherwise and the answer still fits the modules."""
    choice = BaseChoice.objects.select_related("base").filter(adapter=adapter.pk).first() if adapter.pk else None
    if choice is None or (choice.base is not None and shape_conflicts(choice.base, modules)):
        return found
    return choice.base


@dataclass(frozen=True)
class Question:
    """Which base is it? ``choices`` are (answer, words), ``initial`` is suggested, ``note`` says why."""

    choices: list[tuple[str, str]]
    initial: str
    note: str


def question_of(artifact: Any, suggested: dict[str, Any]) -> Question | None:
    """What is asked before an upload is published; None where the config names the base, or is likely to.

    While the check runs there is nothing to compare, so every base that was read may be chosen.
    """
    if artifact is None or artifact.base_id:
        return None
    if not artifact.modules:
        if suggested.get("base"):
            return None
        names = list(Base.objects.filter(state=Base.State.READY).values_list("name", flat=True)[:MAX_CHOICES])
        return Question(_choices(names), "", "The config names no base that is known here.")
    found = suggestion_for(artifact, suggested)
    names = [fit.base.name for fit in found.fits]
    return Question(_choices(names), found.base.name if found.base else "", found.note)


def _choices(names: Sequence[str]) -> list[tuple[str, str]]:
    return [("", "Leave it open"), *((name, name) for name in names), (NONE, "None of these")]
