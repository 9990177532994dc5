"""What a check of an upload says about its base."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from inference_worker.contracts.common import Problem
from inference_worker.contracts.inspect import AdapterSummary
from inference_worker.contracts.upload_checks import CHECKS
from marketplace.adapters.models import Adapter
from marketplace.bases.models import Base
from marketplace.bases.recognition import recognise
from marketplace.bases.shapes import Mismatch, Module, compare, fitting_bases
from marketplace.bases.suggestion import listing, suggest_base

UNKNOWN = "base_unknown"
_PLACE = "base_model_name_or_path"
_MAX_REPEATS = 20


def judge_base(summary: AdapterSummary, modules: Sequence[Module]) -> tuple[Base | None, list[Problem]]:
    """The base that the config names, and what is to be said of it.

    A name that was only guessed from a path counts where the shapes agree; a name that is certain and whose shapes
    disagree is an error, whose remedy names the bases that would fit.
    """
    named = recognise(summary.base_model_name)
    task = summary.task_type
    if named.base is not None:
        mismatches = compare(named.base, modules, task)
        if not mismatches:
            return named.base, []
        if named.certain:
            return named.base, _mismatch_problems(named.base, mismatches, modules, task)
    return None, [unknown_base(summary.base_model_name, modules, task)]


def unknown_base(name: str, modules: Sequence[Module], task: str) -> Problem:
    """The warning of an adapter that is stored, found and merged, but not tried."""
    note = suggest_base(config_name=name, modules=modules, task=task)
    message = f"{note.note} The adapter is stored, found and merged, but cannot be tried until its base is chosen."
    return CHECKS.problem(UNKNOWN, "warning", _PLACE, message)


def problems_of(adapter: Adapter) -> list[dict[str, Any]]:
    """What is still to be said of an adapter's current version: nothing of an unknown base once it has one."""
    problems: list[dict[str, Any]] = adapter.current.artifact.problems if adapter.current else []
    if adapter.base_id is None:
        return problems
    return [problem for problem in problems if problem.get("code") != UNKNOWN]


def _mismatch_problems(
    base: Base, mismatches: Sequence[Mismatch], modules: Sequence[Module], task: str
) -> list[Problem]:
    fits = fitting_bases(modules, task)
    if fits:
        remedy = f"The config names {base.name}, but these tensors fit {listing(fits)}. "
        remedy += f"Write the base that it was trained on into {_PLACE} and upload again."
    else:
        remedy = f"Check {_PLACE}: the adapter was trained on another model than {base.name}."
    shown = [
        CHECKS.problem(mismatch.code, "error", mismatch.module, mismatch.sentence, remedy)
        for mismatch in mismatches[:_MAX_REPEATS]
    ]
    if len(mismatches) > _MAX_REPEATS:
        more = f"The same was found in {len(mismatches) - _MAX_REPEATS} more places."
        shown.append(CHECKS.problem(mismatches[-1].code, "error", "", more, remedy))
    return shown
