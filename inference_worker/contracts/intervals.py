"""95 % score intervals of shares, and of paired differences of shares. Free of numpy, for workers and pages alike.

Unlike the bootstrap's percentiles they have a width where all examples agree: of eight right answers out of eight,
what is resampled is always eight out of eight.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist

#: The standard normal's quantile of a two-sided 95 %.
Z = NormalDist().inv_cdf(0.975)
#: Values that differ by less are the same.
_SAME = 1e-9
#: Made-up values at either end of what is possible (Agresti and Coull 1998, The American Statistician 52, 119-126).
_MADE_UP = 2
#: Halvings of an interval of length 2, down to rounding.
_HALVINGS = 60

Interval = tuple[float, float]


def share_interval(right: float, count: int) -> Interval:
    """Of ``right`` out of ``count`` (Wilson 1927, https://doi.org/10.1080/01621459.1927.10502953)."""
    share, more = right / count, Z * Z / count
    middle = (share + more / 2) / (1 + more)
    half = Z / (1 + more) * math.sqrt(share * (1 - share) / count + more / (4 * count))
    return (0.0 if right == 0 else max(0.0, middle - half)), (1.0 if right == count else min(1.0, middle + half))


def paired_interval(wins: int, losses: int, count: int) -> Interval:
    """Of (wins − losses) / count over ``count`` pairs, of which all others are ties (Tango 1998, Statistics in Medicine
    17, 891–908): those differences that the score test does not refuse."""
    found = (wins - losses) / count

    def score(difference: float) -> float:
        return _score(wins, losses, count, difference)

    low = -1.0 if losses == count else _root(score, Z, -1.0, found)
    return low, 1.0 if wins == count else _root(score, -Z, found, 1.0)


def _score(wins: int, losses: int, count: int, difference: float) -> float:
    """Tango's statistic, which falls in ``difference``; the share of losses is its likeliest one at that difference."""
    a = 2.0 * count
    b = -wins - losses + (2 * count - wins + losses) * difference
    c = -losses * difference * (1 - difference)
    lost = (math.sqrt(max(b * b - 4 * a * c, 0.0)) - b) / (2 * a)
    variance = count * (2 * lost + difference * (1 - difference))
    distance = wins - losses - count * difference
    return distance / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, distance)


def _root(score: Callable[[float], float], level: float, low: float, high: float) -> float:
    """Where the falling ``score`` is ``level``, by halving."""
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if score(middle) > level else (low, middle)
    return (low + high) / 2


def agreed_interval(value: float, count: int, least: float) -> Interval:
    """Of the mean of ``count`` values between ``least`` and 1 that are all ``value``: the normal interval with two more
    values at either end. It is about Wilson's or Tango's where these hold, and no resampling has a width."""
    total = count + 2 * _MADE_UP
    mean = (count * value + _MADE_UP * (least + 1.0)) / total
    square = (count * value**2 + _MADE_UP * (least**2 + 1.0)) / total
    half = Z * math.sqrt(max(square - mean**2, 0.0) / total)
    return max(least, min(value, mean - half)), min(1.0, max(value, mean + half))


def share_of(values: Sequence[float]) -> Interval | None:
    """Of the mean of ``values`` from 0 to 1; None where they are not all 0 or 1, and not all the same."""
    if all(value in (0.0, 1.0) for value in values):
        return share_interval(sum(values), len(values))
    return _agreed(values, 0.0)


def paired_of(differences: Sequence[float]) -> Interval | None:
    """Of the mean of ``differences`` from −1 to 1; None where they are not all −1, 0 or 1, and not all the same."""
    if not all(value in (-1.0, 0.0, 1.0) for value in differences):
        return _agreed(differences, -1.0)
    wins, losses = sum(value > 0 for value in differences), sum(value < 0 for value in differences)
    return paired_interval(wins, losses, len(differences))


def _agreed(values: Sequence[float], least: float) -> Interval | None:
    same = max(values) - min(values) < _SAME
    return agreed_interval(sum(values) / len(values), len(values), least) if same else None
