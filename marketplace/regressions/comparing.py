"""Whether a result is another one than before: example by example where both runs had the same examples, else by the
interval of the run before."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from inference_worker.contracts.evaluate import Estimate, Evaluation, Outcome
from inference_worker.contracts.intervals import paired_of
from inference_worker.errors import BlobMissing
from marketplace.core.store import blob_store
from marketplace.evaluations.models import EvaluationRun
from marketplace.evaluations.signs import sign_test
from marketplace.evaluations.verdicts import MIN_EXAMPLES, metric_of
from marketplace.regressions.models import Check

_Outcome = Check.Outcome
_RESAMPLES = 2000
_SEED = 0
#: Wins and losses that chance alone splits so unevenly more often than this say nothing.
_CHANCE = 0.05


@dataclass(frozen=True)
class Compared:
    """``difference`` is None where the runs could not be paired."""

    outcome: str
    metric: str
    difference: Estimate | None


def compare(before: EvaluationRun, after: EvaluationRun) -> Compared:
    """``after`` beside ``before``, both measured on one suite.

    Of pairs, exact match must also pass the exact sign test, which holds for any number. With fewer than
    ``MIN_EXAMPLES`` examples nothing is said to have changed.
    """
    metric = metric_of(before)
    pairs = _pairs(before, after, metric)
    if pairs is not None:
        difference = paired_difference(*pairs)
        change = 0.0 if difference.low <= 0.0 <= difference.high else difference.value
        unsure = difference.n < MIN_EXAMPLES or (metric == "exact_match" and not _beyond_chance(*pairs))
        return Compared(_Outcome.WITHIN if unsure else _judged(change), metric, difference)
    old, new = (run.estimates["overall"][metric] for run in (before, after))
    change = 0.0 if old["low"] <= new["value"] <= old["high"] else new["value"] - old["value"]
    return Compared(_Outcome.WITHIN if old["n"] < MIN_EXAMPLES else _judged(change), metric, None)


def _beyond_chance(before: Sequence[float], after: Sequence[float]) -> bool:
    wins = sum(new > old for old, new in zip(before, after, strict=True))
    losses = sum(new < old for old, new in zip(before, after, strict=True))
    return sign_test(wins, losses) < _CHANCE


def _judged(change: float) -> str:
    if change == 0.0:
        return _Outcome.WITHIN
    return _Outcome.BETTER if change > 0.0 else _Outcome.WORSE


def paired_difference(before: Sequence[float], after: Sequence[float]) -> Estimate:
    """Mean of ``after`` minus ``before`` over the same examples with its 95 % interval: what the engine computes
    (``inference_worker.evaluation.statistics``), where it is the bootstrap's draw for draw."""
    differences = np.asarray(after, dtype=np.float64) - np.asarray(before, dtype=np.float64)
    count = len(differences)
    if (interval := paired_of(differences.tolist())) is not None:
        return Estimate(value=float(differences.mean()), low=interval[0], high=interval[1], n=count)
    rng = np.random.default_rng([_SEED, count])
    means = [differences[rng.integers(0, count, size=count)].mean() for _ in range(_RESAMPLES)]
    low, high = np.quantile(means, (0.025, 0.975))
    return Estimate(value=float(differences.mean()), low=float(low), high=float(high), n=count)


def _pairs(before: EvaluationRun, after: EvaluationRun, metric: str) -> tuple[list[float], list[float]] | None:
    """The values of both runs in the same order; None unless both had exactly the same examples."""
    old, new = ({(row.index, row.prompt): getattr(row, metric) for row in _numbers(run)} for run in (before, after))
    if not old or old.keys() != new.keys() or None in (*old.values(), *new.values()):
        return None
    keys = sorted(old)
    return [old[key] for key in keys], [new[key] for key in keys]


def _numbers(run: EvaluationRun) -> list[Outcome]:
    """The run example by example; empty where its bytes are gone."""
    if not run.outcomes:
        return []
    try:
        with blob_store().open(run.outcomes) as file:
            return list(Evaluation.model_validate(json.load(file)[run.position]).outcomes)
    except BlobMissing:
        return []
