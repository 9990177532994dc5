"""Means with their uncertainty: score intervals where every example is right or wrong, and others that have a width
where all values agree (``contracts.intervals``); of all other values the percentile bootstrap over examples (Efron and
Tibshirani 1993, chapter 13)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from inference_worker.contracts.evaluate import Estimate, Outcome
from inference_worker.contracts.intervals import Interval, paired_of, share_of

#: The interval's quantiles: 95 %.
LOW, HIGH = 0.025, 0.975
#: Numbers of a table of resamples that are held at once.
_BLOCK = 4_000_000


def bootstrap(numerators: Sequence[float], denominators: Sequence[float], resamples: int, seed: int) -> Estimate:
    """Σ numerators / Σ denominators with its 95 % interval under resampling of the pairs.

    With denominators of 1 that is the mean. The resamples depend on the seed and the number of examples alone, so
    that compositions on one suite are compared on the same draws.
    """
    top, bottom = np.asarray(numerators, dtype=np.float64), np.asarray(denominators, dtype=np.float64)
    count = len(top)
    rng = np.random.default_rng([seed, count])
    ratios = np.empty(resamples)
    block = max(1, _BLOCK // count)
    for start in range(0, resamples, block):
        draws = rng.integers(0, count, size=(min(block, resamples - start), count))
        ratios[start : start + len(draws)] = top[draws].sum(axis=1) / bottom[draws].sum(axis=1)
    low, high = np.quantile(ratios, (LOW, HIGH))
    return Estimate(value=float(top.sum() / bottom.sum()), low=float(low), high=float(high), n=count)


def estimate(outcomes: Sequence[Outcome], metric: str, resamples: int, seed: int) -> Estimate | None:
    """The estimate of ``metric`` over outcomes that have it; None where none has.

    Perplexity is exp(−Σ log-probabilities / Σ tokens), so its interval is that of the exponent, exponentiated.
    """
    if metric != "perplexity":
        values = [value for outcome in outcomes if (value := getattr(outcome, metric)) is not None]
        return _mean(values, share_of(values), resamples, seed) if values else None
    scored = [outcome for outcome in outcomes if outcome.logprob is not None and outcome.answer_tokens]
    if not scored:
        return None
    losses = [-outcome.logprob for outcome in scored if outcome.logprob is not None]
    mean = bootstrap(losses, [float(outcome.answer_tokens) for outcome in scored], resamples, seed)
    return Estimate(value=_exp(mean.value), low=_exp(mean.low), high=_exp(mean.high), n=mean.n)


def _mean(values: Sequence[float], interval: Interval | None, resamples: int, seed: int) -> Estimate:
    """With ``interval`` where there is one, else with the bootstrap's."""
    if interval is None:
        return bootstrap(values, [1.0] * len(values), resamples, seed)
    return Estimate(value=sum(values) / len(values), low=interval[0], high=interval[1], n=len(values))


def _exp(value: float) -> float:
    """JSON knows no infinity; beyond e⁷⁰⁰ the number says nothing anyway."""
    return math.exp(min(value, 700.0))


def paired_difference(
    before: Sequence[float], after: Sequence[float], resamples: int = 2000, seed: int = 0
) -> Estimate:
    """Mean of ``after − before`` over the same examples, with its 95 % interval."""
    if len(before) != len(after) or not before:
        raise ValueError("paired values of the same examples are compared")
    differences = [b - a for a, b in zip(before, after, strict=True)]
    return _mean(differences, paired_of(differences), resamples, seed)
