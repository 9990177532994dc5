"""Intervals of sweeps that were measured before shares and values that all agree had honest ones. A sweep's result is
one document of its job, so they are made when it is read; those of today come out as they are."""

from __future__ import annotations

from inference_worker.contracts.evaluate import Estimate
from inference_worker.contracts.intervals import paired_interval, paired_of, share_interval, share_of
from inference_worker.contracts.merge_sweep import MergeSweepResult, PairedDifference, SweepCell

_SAME = 1e-9


def with_intervals(result: MergeSweepResult) -> MergeSweepResult:
    return result.model_copy(update={"cells": tuple(map(_cell, result.cells))})


def _cell(cell: SweepCell) -> SweepCell:
    return cell.model_copy(
        update={
            "overall": _metrics(cell.overall),
            "tasks": {task: _metrics(found) for task, found in cell.tasks.items()},
            "against_base": _paired(cell.against_base),
            "against_best_parent": _paired(cell.against_best_parent),
        }
    )


def _metrics(found: dict[str, Estimate]) -> dict[str, Estimate]:
    return {name: _share(name, estimate) for name, estimate in found.items()}


def _share(metric: str, estimate: Estimate) -> Estimate:
    """Exact match counts right answers, so its count is known; of other metrics only values that all agree are."""
    value, count = estimate.value, estimate.n
    interval = None
    if metric == "exact_match":
        interval = share_interval(round(value * count), count)
    elif metric == "token_f1" and estimate.high - estimate.low < _SAME:
        interval = share_of([value] * count)
    return estimate if interval is None else estimate.model_copy(update={"low": interval[0], "high": interval[1]})


def _paired(difference: PairedDifference | None) -> PairedDifference | None:
    """Of exact match, from wins and losses; where they were not counted, where all pairs agree."""
    if difference is None:
        return None
    wins, losses, count = difference.wins, difference.losses, difference.n
    interval = None
    if wins is not None and losses is not None:
        interval = paired_interval(wins, losses, count)
    elif difference.high - difference.low < _SAME:
        interval = paired_of([difference.value] * count)
    return difference if interval is None else difference.model_copy(update={"low": interval[0], "high": interval[1]})
