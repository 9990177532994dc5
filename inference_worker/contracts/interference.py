"""How much of what each adapter gained a merge of two keeps, predicted from their measures. Free of torch and numpy.

A handful of coefficients, fitted by ``benchmarks/interference.py`` on merges of a testbed's adapters and stored beside
the measures' code with how well they do on adapters that the fit has not seen.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path
from typing import Literal

from inference_worker.contracts.common import Contract, Problem
from inference_worker.contracts.composability import MEASURES_VERSION, PairMeasures
from inference_worker.contracts.interference_range import (
    LARGEST_LOG,
    PairPrediction,
    is_outside,
    no_share,
    not_predicted,
    outside_fit,
    unlike_any_fitted,
)

STORED = Path(__file__).resolve().parents[1] / "composability" / "interference.json"


def _log(ratio: float) -> float:
    return max(-LARGEST_LOG, min(LARGEST_LOG, math.log(ratio))) if ratio > 0.0 else -LARGEST_LOG


def features_of(measures: PairMeasures) -> dict[str, float]:
    """What the prediction for the *first* adapter looks at: how it meets the second. No unit of length is left in it,
    so that it means the same for bases of any size."""
    own, other = measures.norms
    modules = measures.shared + measures.only[0]
    return {
        "cosine": measures.cosine,
        "relative_size": _log(other / own) if own > 0.0 else LARGEST_LOG,
        "disturbed": _log(measures.leak[0]),
        "disturbs": _log(measures.leak[1]),
        "shared_modules": measures.shared / modules if modules else 0.0,
        "row_overlap": (measures.row_overlap or 0.0) - (measures.row_chance or 0.0),
        "column_overlap": (measures.column_overlap or 0.0) - (measures.column_chance or 0.0),
        "unit_overlap": measures.unit_overlap or 0.0,
        "sign_agreement": 0.5 if measures.sign_agreement is None else measures.sign_agreement,
    }


class Feature(Contract):
    """A feature's coefficient after it was brought to mean 0 and spread 1, and the range that the fit has seen."""

    name: str
    mean: float
    scale: float
    coefficient: float
    low: float
    high: float


class Correlation(Contract):
    """Spearman's rank correlation on held-out pairs with its bootstrap 95 % interval over adapters."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2f}, {self.low:.2f} to {self.high:.2f}"


class Predictor(Contract):
    """The prediction for one merge method. ``source`` is the better of the model and the cosine of Δ alone, or
    ``none`` where neither beats chance: then nothing is predicted."""

    method: str
    source: Literal["model", "cosine", "none"]
    features: tuple[Feature, ...]
    intercept: float
    model: Correlation
    cosine: Correlation
    adapters: int
    pairs: int
    #: Mean share kept in the pairs that it was fitted on.
    mean: float

    @property
    def correlation(self) -> Correlation:
        """Of what is used."""
        return self.cosine if self.source == "cosine" else self.model

    def outside(self, measures: PairMeasures) -> Problem | None:
        """What lies outside of what was fitted, a feature or the share itself, seen from either adapter; None where
        nothing does."""
        sides = features_of(measures), features_of(measures.turned())
        for found in sides:
            for item in sorted(self.features, key=lambda item: item.name != "relative_size"):
                if is_outside(found[item.name], item.low, item.high):
                    return outside_fit(item.name, found[item.name], item.low, item.high)
        beyond = next((value for value in map(self._sum, sides) if is_outside(value, 0.0, 1.0)), None)
        return None if beyond is None else no_share(beyond)

    def _sum(self, found: Mapping[str, float]) -> float:
        return self.intercept + sum(
            feature.coefficient * (found[feature.name] - feature.mean) / feature.scale for feature in self.features
        )

    def kept(self, measures: PairMeasures) -> float | None:
        """The share of its gain that the first adapter keeps, 0 to 1; None where nothing can be said.

        Shares a little beyond 0 or 1, as the straight line gives for the best and worst pairs, are brought back.
        """
        if self.source == "none" or unlike_any_fitted(measures) or self.outside(measures):
            return None
        return max(0.0, min(1.0, self._sum(features_of(measures))))

    def kept_by_both(self, measures: PairMeasures) -> tuple[float, float] | None:
        """The same for the first and for the second adapter."""
        first, second = self.kept(measures), self.kept(measures.turned())
        return None if first is None or second is None else (first, second)

    def interference(self, measures: PairMeasures) -> float | None:
        """What the two lose together, 0 (nothing) to 1: one minus the mean of what each keeps."""
        kept = self.kept_by_both(measures)
        return None if kept is None else 1.0 - sum(kept) / 2

    def describe(self, measured_on: str) -> str:
        """How good it is, in one sentence."""
        where = (
            f"on {self.pairs} merges of {self.adapters} adapters of {measured_on}, each predicted from other adapters' "
            "merges"
        )
        if self.source == "none":
            return (
                f"No measured relation: neither these measures (rank correlation {self.model}) nor the cosine alone "
                f"({self.cosine}) tells what is kept, {where}."
            )
        used, other = ("all measures", "the cosine alone") if self.source == "model" else ("the cosine", "all measures")
        rest = self.cosine if self.source == "model" else self.model
        return (
            f"Predicted from {used}: rank correlation {self.correlation} with what was kept ({other}: {rest}), {where}."
        )


class Predictors(Contract):
    """What was fitted together: ``measured_on`` names the world, ``measures`` the version of the measures."""

    measures: int
    measured_on: str
    predictors: tuple[Predictor, ...]

    def of(self, method: str) -> Predictor | None:
        """The prediction for ``method``, where one was fitted."""
        return next((predictor for predictor in self.predictors if predictor.method == method), None)

    def judge(
        self, measures: PairMeasures, features: Collection[str] = (), refused: Collection[str] = ()
    ) -> PairPrediction:
        """The shares that both keep, or why none are predicted, for the methods that say something at all.

        ``features`` are what either adapter has beyond low rank, ``refused`` the methods that do not take the two.
        """
        kept: dict[str, tuple[float, float]] = {}
        reasons: dict[str, Problem] = {}
        unlike = unlike_any_fitted(measures, features)
        for item in self.predictors:
            if item.source == "none":
                continue
            if reason := _reason(item, measures, unlike, refused):
                reasons[item.method] = reason
            elif both := item.kept_by_both(measures):
                kept[item.method] = (round(both[0], 3), round(both[1], 3))
        return PairPrediction(kept=kept, not_predicted=reasons)


def _reason(
    predictor: Predictor, measures: PairMeasures, unlike: Problem | None, refused: Collection[str]
) -> Problem | None:
    if unlike is not None:
        return unlike
    if predictor.method in refused:
        return not_predicted("method_refused", "the method does not take these two adapters", predictor.method)
    return predictor.outside(measures)


@cache
def stored_predictors() -> Predictors:
    """The shipped ones; none where they were fitted on measures of another version."""
    nothing = Predictors(measures=MEASURES_VERSION, measured_on="", predictors=())
    if not STORED.exists():
        return nothing
    found = Predictors.model_validate(json.loads(STORED.read_text(encoding="utf-8")))
    return found if found.measures == MEASURES_VERSION else nothing
