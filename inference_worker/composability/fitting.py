"""Fit the prediction of interference and say how well it does on adapters that it has not seen.

Pairs that share an adapter are not independent: a fit that has seen an adapter in one pair knows something of its
other pairs. So whole adapters are held out, and intervals come from drawing adapters, not pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from inference_worker.contracts.composability import PairMeasures
from inference_worker.contracts.interference import Correlation, Feature, Predictor, features_of

Floats = NDArray[np.float64]

#: Ridge regression's penalty on coefficients of standardised features, per hundred rows.
PENALTY = 2.0
FOLDS, REPEATS, DRAWS = 5, 50, 1000
#: Of fewer held-out pairs nothing is said.
_FEWEST = 10


@dataclass(frozen=True)
class Observation:
    """One measured merge: positions of both adapters, their measures, and the share of its gain that each kept."""

    first: int
    second: int
    measures: PairMeasures
    kept: tuple[float, float]


@dataclass(frozen=True)
class _Rows:
    """Two rows per pair, one from each side; ``pair`` is the number of the row's observation."""

    X: Floats  # (2n, features)
    y: Floats  # (2n,)
    pair: NDArray[np.int64]  # (2n,)


def fit_predictor(method: str, observations: Sequence[Observation]) -> Predictor:
    """The better of the model and of the cosine of Δ alone, judged on held-out adapters, fitted on everything."""
    names = list(features_of(observations[0].measures))
    chosen = {"model": names, "cosine": ["cosine"]}
    truth = np.array([sum(item.kept) / 2 for item in observations])
    predicted = held_out_predictions(observations, names)
    found = {
        "model": _correlation(observations, predicted, truth),
        "cosine": _correlation(observations, _by_cosine(observations, predicted, truth), truth),
    }
    best = max(found, key=lambda source: found[source].value)
    source = best if found[best].low > 0.0 else "none"
    columns = chosen[best]
    rows = _rows(observations, columns)
    mean, scale, coefficients, intercept = _ridge(rows.X, rows.y)
    return Predictor(
        method=method,
        source=source,
        features=tuple(
            Feature(
                name=name, mean=_short(m), scale=_short(s), coefficient=_short(c), low=_short(low), high=_short(high)
            )
            for name, m, s, c, low, high in zip(
                columns, mean, scale, coefficients, rows.X.min(axis=0), rows.X.max(axis=0), strict=True
            )
        ),
        intercept=_short(intercept),
        model=found["model"],
        cosine=found["cosine"],
        adapters=len({side for item in observations for side in (item.first, item.second)}),
        pairs=len(observations),
        mean=_short(float(truth.mean())),
    )


def _by_cosine(observations: Sequence[Observation], predicted: Floats, truth: Floats) -> Floats:
    """The trivial baseline on the pairs that have a prediction: the cosine of Δ, with the sign that suits it best on
    these very pairs, so that it is never judged too low."""
    cosines = np.where(np.isfinite(predicted), [item.measures.cosine for item in observations], np.nan)
    known: NDArray[np.bool_] = np.isfinite(cosines)
    return cosines if spearman(cosines[known], truth[known]) >= 0.0 else -cosines


def _short(value: float) -> float:
    return float(f"{value:.5g}")


def _rows(observations: Sequence[Observation], columns: Sequence[str]) -> _Rows:
    sides = [(item.measures, item.measures.turned()) for item in observations]
    table = [[features_of(side)[name] for name in columns] for pair in sides for side in pair]
    kept = [value for item in observations for value in item.kept]
    return _Rows(np.array(table), np.array(kept), np.arange(len(observations), dtype=np.int64).repeat(2))


def _ridge(X: Floats, y: Floats) -> tuple[Floats, Floats, Floats, float]:
    """Mean and scale of the columns, coefficients, intercept."""
    mean, scale = X.mean(axis=0), X.std(axis=0)
    scale[scale < 1e-12] = 1.0  # a column that says nothing
    standard = (X - mean) / scale
    penalty = PENALTY * len(X) / 100 * np.eye(X.shape[1])
    coefficients = np.linalg.solve(standard.T @ standard + penalty, standard.T @ (y - y.mean()))
    return mean, scale, coefficients, float(y.mean())


def held_out_predictions(observations: Sequence[Observation], columns: Sequence[str], seed: int = 0) -> Floats:
    """Per pair the mean prediction of fits that saw neither adapter in any pair; NaN where there was none. (n,)"""
    rows = _rows(observations, columns)
    ends = np.array([(item.first, item.second) for item in observations])
    adapters = np.unique(ends)
    sums, counts = np.zeros(len(observations)), np.zeros(len(observations))
    rng = np.random.default_rng(seed)
    for _ in range(REPEATS):
        folds = np.array_split(rng.permutation(adapters), FOLDS)
        for fold in folds:
            inside = np.isin(ends, fold)  # (n, 2)
            tested = inside[:, 0] & inside[:, 1]
            trained = ~(inside[:, 0] | inside[:, 1])
            if not tested.any() or not trained.any():
                continue
            known = trained[rows.pair]
            mean, scale, coefficients, intercept = _ridge(rows.X[known], rows.y[known])
            each = intercept + (rows.X - mean) / scale @ coefficients
            sums[tested] += each.reshape(-1, 2).mean(axis=1)[tested]
            counts[tested] += 1
    return np.divide(sums, counts, out=np.full(len(sums), np.nan), where=counts > 0)


def spearman(one: Floats, two: Floats) -> float:
    """Spearman's rank correlation; 0 where one side does not vary, or where there is nothing."""
    if not len(one):
        return 0.0
    ranks = rankdata(one), rankdata(two)
    spread = ranks[0].std() * ranks[1].std()
    return float(np.mean((ranks[0] - ranks[0].mean()) * (ranks[1] - ranks[1].mean())) / spread) if spread > 0 else 0.0


def _correlation(observations: Sequence[Observation], predicted: Floats, truth: Floats, seed: int = 1) -> Correlation:
    """With the interval over adapters: a pair counts as often as both of its adapters were drawn."""
    known: NDArray[np.bool_] = np.isfinite(predicted)
    ends = np.array([(item.first, item.second) for item in observations])[known]
    predicted, truth = predicted[known], truth[known]
    if len(truth) < _FEWEST:
        return Correlation(value=0.0, low=-1.0, high=1.0)
    adapters, positions = np.unique(ends, return_inverse=True)
    positions = positions.reshape(ends.shape)
    rng = np.random.default_rng(seed)
    draws = []
    for _ in range(DRAWS):
        drawn = np.bincount(rng.integers(0, len(adapters), len(adapters)), minlength=len(adapters))
        times = drawn[positions[:, 0]] * drawn[positions[:, 1]]
        draws.append(spearman(predicted.repeat(times), truth.repeat(times)) if times.any() else 0.0)
    low, high = np.quantile(draws, (0.025, 0.975))
    return Correlation(value=_short(spearman(predicted, truth)), low=_short(float(low)), high=_short(float(high)))
