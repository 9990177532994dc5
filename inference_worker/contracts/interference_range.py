"""Where a prediction of interference may be made: where the fit has seen pairs, and a little beyond.

A linear fit says something of every pair, also of pairs that are like none of those it was fitted on. There it is no
prediction, so that nothing is said but why. Every reason is a ``Problem`` with one sentence for page, REST and command
line.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection

from inference_worker.contracts.common import Contract, Problem
from inference_worker.contracts.composability import PairMeasures
from inference_worker.contracts.merge_limits import ALONE, CARRIED, NEVER

#: How far beyond the fitted range a feature may lie, as a share of that range.
MARGIN = 0.1
#: Ratios beyond e^±4 say no more than that one adapter drowns the other.
LARGEST_LOG = 4.0
#: The fit has seen sums of low-rank updates alone.
_UNFITTED = CARRIED | NEVER.keys() | ALONE.keys()


def _fold(value: float) -> str:
    more = "more than " if abs(value) >= LARGEST_LOG else ""
    return f"{more}{math.exp(abs(value)):.2g}-fold"


def _times(value: float) -> str:
    return f"{math.exp(value):.2g}"


def _percent(value: float) -> str:
    return f"{value * 100:.0f} %"


def _points(value: float) -> str:
    return f"{value * 100:+.0f} points"


#: Feature → what it is called, and how its value is written.
_WORDS: dict[str, tuple[str, Callable[[float], str]]] = {
    "cosine": ("the cosine is", "{:.2f}".format),
    "relative_size": ("sizes differ", _fold),
    "disturbed": ("the answer to the other's inputs, per size of the change, is", _times),
    "disturbs": ("the answer to the other's inputs, per size of the change, is", _times),
    "shared_modules": ("modules changed by both are", _percent),
    "row_overlap": ("they read alike, against chance, by", _points),
    "column_overlap": ("they write alike, against chance, by", _points),
    "unit_overlap": ("units are alike by", _percent),
    "sign_agreement": ("signs agree at", _percent),
}


def not_predicted(code: str, words: str, place: str = "") -> Problem:
    """Why nothing is said of a pair."""
    return Problem(
        code=code,
        severity="info",
        place=place,
        message=f"Not predicted: {words}.",
        remedy="Merge them and measure the result.",
    )


def is_outside(value: float, low: float, high: float) -> bool:
    """Whether ``value`` lies farther from the fitted range than the margin."""
    margin = MARGIN * (high - low)
    return not low - margin <= value <= high + margin


def outside_fit(feature: str, value: float, low: float, high: float) -> Problem:
    """What to say of a feature's value outside of ``low`` to ``high``."""
    words, show = _WORDS[feature]
    if feature == "relative_size":
        fitted = f"at most {show(max(abs(low), abs(high)))}"
    else:
        fitted = f"{show(low)} to {show(high)}"
    return not_predicted("outside_fit", f"{words} {show(value)}, outside what was fitted ({fitted})", feature)


def no_share(value: float) -> Problem:
    """What to say where the straight line has left what a share can be."""
    return not_predicted("outside_fit", f"the fit gives {_percent(value)}, which is no share", "kept")


def unlike_any_fitted(measures: PairMeasures, features: Collection[str] = ()) -> Problem | None:
    """Why no method's prediction fits two adapters with these ``features``; None where one may."""
    unfitted = sorted(_UNFITTED & set(features))
    if unfitted:
        return not_predicted("not_fitted", f"the fit has seen no adapter with {unfitted[0]}", unfitted[0])
    if measures.clashing:
        return not_predicted("other_shapes", "the adapters are of different bases")
    if min(measures.norms) == 0.0:
        return not_predicted("no_effect", "an adapter that changes nothing has no gain to keep")
    return None


class PairPrediction(Contract):
    """Of two adapters, by method: the shares of its gain that each keeps, or why nothing is predicted."""

    kept: dict[str, tuple[float, float]] = {}
    not_predicted: dict[str, Problem] = {}
