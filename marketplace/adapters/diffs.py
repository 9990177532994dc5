"""What changed between two versions: files, config, card, and the statistics of the tensors.

Plain functions on what the versions carry; ``history.compare_versions`` reads it. Nothing is computed from weights
here: the check has measured every module once, and its signature stands for Δ = B·A as a whole.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from diff_match_patch import diff_match_patch

from marketplace.adapters.models import Artifact, VersionFile

Change = Literal["added", "removed", "changed"]
#: Seconds after which the comparison of two cards stops looking for a shorter one.
DIFF_SECONDS = 0.5
#: Equal lines shown around a change; the most lines that are compared and shown: cards may have megabytes.
CONTEXT, MAX_LINES, MAX_SHOWN = 3, 20_000, 2000
#: Below this relative change of its norm a module counts as the same.
SAME_NORM = 1e-6


@dataclass(frozen=True)
class FileChange:
    """One path; sizes in bytes, None where the version has no such file."""

    path: str
    change: Change
    before: int | None
    after: int | None


@dataclass(frozen=True)
class ValueChange:
    """One key of the config, with JSON of its value before and after; empty where it is absent."""

    key: str
    change: Change
    before: str
    after: str


@dataclass(frozen=True)
class Line:
    """One line of a card: ``kind`` is ``same``, ``added``, ``removed`` or ``gap`` (lines left out between)."""

    kind: Literal["same", "added", "removed", "gap"]
    text: str
    #: Line numbers from 1; None on the side where the line is not.
    before: int | None = None
    after: int | None = None


@dataclass(frozen=True)
class ModuleChange:
    """Norm of Δ, rank and effective rank of one module in both versions; None where it is not adapted."""

    name: str
    change: Change
    rank: tuple[int | None, int | None]
    norm: tuple[float | None, float | None]
    effective_rank: tuple[float | None, float | None]

    @property
    def relative(self) -> float | None:
        """Change of the norm relative to before; None without a before."""
        before, after = self.norm
        if not before or after is None:
            return None
        return after / before - 1.0


@dataclass(frozen=True)
class TensorDiff:
    """Statistics of both artefacts. ``cosine`` compares the signatures of Δ, None where one is unknown."""

    same_weights: bool
    cosine: float | None
    parameters: tuple[int | None, int | None]
    norm: tuple[float | None, float | None]
    modules: list[ModuleChange]
    unchanged: int


def file_changes(before: Iterable[VersionFile], after: Iterable[VersionFile]) -> list[FileChange]:
    """By path; files with the same digest are left out."""
    old, new = ({file.path: file for file in files} for files in (before, after))
    changes = []
    for path in sorted(old.keys() | new.keys()):
        was, now = old.get(path), new.get(path)
        if was is not None and now is not None and was.blob_id == now.blob_id:
            continue
        changes.append(
            FileChange(path, _kind(was, now), was.blob.size if was else None, now.blob.size if now else None)
        )
    return changes


def _kind(before: object | None, after: object | None) -> Change:
    if before is None:
        return "added"
    return "removed" if after is None else "changed"


def config_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[ValueChange]:
    """Keys whose values differ; a list that only has another order is the same where order says nothing."""
    changes = []
    for key in sorted(before.keys() | after.keys()):
        was, now = before.get(key, _ABSENT), after.get(key, _ABSENT)
        if _comparable(key, was) == _comparable(key, now):
            continue
        kind = _kind(None if was is _ABSENT else key, None if now is _ABSENT else key)
        changes.append(ValueChange(str(key), kind, _shown(was), _shown(now)))
    return changes


_ABSENT = object()
#: PEFT keeps these as sets, and writes them in any order.
_SETS = ("target_modules", "modules_to_save", "exclude_modules")


def _comparable(key: str, value: Any) -> Any:
    if value is _ABSENT:
        return _ABSENT
    if key in _SETS and isinstance(value, list):
        value = sorted(value, key=str)
    return json.dumps(value, sort_keys=True)


def _shown(value: Any) -> str:
    return "" if value is _ABSENT else json.dumps(value, ensure_ascii=False)[:2000]


def card_lines(before: str, after: str) -> list[Line]:
    """A unified comparison, line by line; empty when the cards are equal."""
    matcher = diff_match_patch()
    # Hostile texts can make an exact comparison cubic; in time it gives a right one that is not the shortest.
    matcher.Diff_Timeout = DIFF_SECONDS
    old, new, table = matcher.diff_linesToChars(*("".join(f"{line}\n" for line in _lines(t)) for t in (before, after)))
    pieces = matcher.diff_main(old, new, checklines=False)
    matcher.diff_charsToLines(pieces, table)
    numbered: list[Line] = []
    was = now = 0
    for operation, text in pieces:
        for line in text.removesuffix("\n").split("\n"):
            was, now = was + (operation <= 0), now + (operation >= 0)
            kind: Literal["same", "added", "removed"] = _OPERATIONS[operation]
            numbered.append(Line(kind, line, was if operation <= 0 else None, now if operation >= 0 else None))
    return _with_gaps(numbered)


_OPERATIONS: dict[int, Literal["same", "added", "removed"]] = {-1: "removed", 0: "same", 1: "added"}


def _lines(text: str) -> list[str]:
    return text.replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n").split("\n")[:MAX_LINES] if text else []


def _with_gaps(lines: Sequence[Line]) -> list[Line]:
    """The changed lines with ``CONTEXT`` equal ones around them; a ``gap`` stands for what is left out."""
    changed = [index for index, line in enumerate(lines) if line.kind != "same"]
    near = {n for index in changed for n in range(max(0, index - CONTEXT), min(len(lines), index + CONTEXT + 1))}
    shown: list[Line] = []
    for index in sorted(near):
        if index and index - 1 not in near:
            shown.append(Line("gap", ""))
        shown.append(lines[index])
    return shown[:MAX_SHOWN]


def tensor_diff(before: Artifact, after: Artifact) -> TensorDiff:
    """Modules whose statistics differ, the largest change first."""
    old, new = ({module["name"]: module for module in artifact.modules} for artifact in (before, after))
    changed = [_module_change(name, old.get(name), new.get(name)) for name in sorted(old.keys() | new.keys())]
    differing = [change for change in changed if not _is_same(change)]
    differing.sort(key=_most_changed_first)
    return TensorDiff(
        same_weights=before.weights_blob_id == after.weights_blob_id,
        cosine=_cosine(before, after),
        parameters=(before.summary.get("parameters"), after.summary.get("parameters")),
        norm=(_total_norm(before.modules), _total_norm(after.modules)),
        modules=differing,
        unchanged=len(changed) - len(differing),
    )


def _most_changed_first(change: ModuleChange) -> tuple[float, str]:
    return (-abs(change.relative) if change.relative is not None else -math.inf, change.name)


def _module_change(name: str, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> ModuleChange:
    def both(key: str) -> tuple[Any, Any]:
        return (before[key] if before else None, after[key] if after else None)

    return ModuleChange(name, _kind(before, after), both("rank"), both("norm"), both("effective_rank"))


def _is_same(change: ModuleChange) -> bool:
    relative = change.relative
    both_zero = change.norm == (0.0, 0.0)
    close = both_zero or (relative is not None and abs(relative) <= SAME_NORM)
    return close and change.rank[0] == change.rank[1]


def _total_norm(modules: Sequence[Mapping[str, Any]]) -> float | None:
    """Frobenius norm of all Δ together; None where nothing was measured."""
    return math.sqrt(sum(module["norm"] ** 2 for module in modules)) if modules else None


def _cosine(before: Artifact, after: Artifact) -> float | None:
    if before.signature is None or after.signature is None:
        return None
    if before.pk == after.pk:
        return 1.0
    one, two = (np.asarray(artifact.signature, dtype=np.float64) for artifact in (before, after))
    length = float(np.linalg.norm(one) * np.linalg.norm(two))
    return float(one @ two) / length if length else None
