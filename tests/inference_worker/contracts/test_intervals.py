"""Score intervals against published numbers, closed forms, their own definition, and how often they hold."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.stats import binom

from inference_worker.contracts.intervals import (
    Z,
    agreed_interval,
    paired_interval,
    paired_of,
    share_interval,
    share_of,
)


@pytest.mark.parametrize(
    ("right", "count", "low", "high"),
    # Newcombe 1998, Statistics in Medicine 17, 857–872, table I, method 3.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_shares_are_the_published_ones(right: int, count: int, low: float, high: float) -> None:
    assert share_interval(right, count) == pytest.approx((low, high), abs=5e-5)


def test_pairs_are_the_published_ones() -> None:
    """Airways of 21 children before and after a transplantation, Tango's interval in Fagerland, Lydersen and Laake
    2014, Statistics in Medicine 33, 2850–2875."""
    assert paired_interval(1, 7, 21) == pytest.approx((-0.517, -0.026), abs=5e-4)


@pytest.mark.parametrize("count", [1, 8, 16, 1000])
def test_at_the_edges_they_have_a_width(count: int) -> None:
    square = Z * Z
    assert share_interval(count, count) == pytest.approx((count / (count + square), 1.0))
    assert share_interval(0, count) == pytest.approx((0.0, square / (count + square)))
    certain = (count - square) / (count + square)
    assert paired_interval(count, 0, count) == pytest.approx((certain, 1.0))
    assert paired_interval(0, count, count) == pytest.approx((-1.0, -certain))
    none = square / (count + square)
    assert paired_interval(0, 0, count) == pytest.approx((-none, none))


def score(wins: int, losses: int, count: int, difference: float) -> float:
    """The distance in standard errors, with the share of losses that makes the observed table likeliest."""

    def unlikely(lost: float) -> float:
        shares = ((wins, lost + difference), (losses, lost), (count - wins - losses, 1 - 2 * lost - difference))
        return -sum(number * math.log(max(share, 1e-300)) for number, share in shares if number)

    bounds = (max(0.0, -difference), (1 - difference) / 2)
    lost = minimize_scalar(unlikely, bounds=bounds, method="bounded", options={"xatol": 1e-13}).x
    variance = (2 * lost + difference - difference**2) / count
    return float(((wins - losses) / count - difference) / math.sqrt(variance))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 200))
def test_ends_lie_where_the_score_test_begins_to_refuse(wins: int, losses: int, ties: int) -> None:
    count = wins + losses + ties
    low, high = paired_interval(wins, losses, count)
    assert -1.0 < low < (wins - losses) / count < high < 1.0
    assert score(wins, losses, count, low) == pytest.approx(Z, abs=1e-3)
    assert score(wins, losses, count, high) == pytest.approx(-Z, abs=1e-3)
    assert paired_interval(losses, wins, count) == pytest.approx((-high, -low))


@pytest.mark.parametrize("count", [8, 16, 40])
def test_they_hold_as_often_as_they_say(count: int) -> None:
    """On average over all true shares; of sixteen all-right examples the bootstrap holds for none but 1."""
    ends = [share_interval(right, count) for right in range(count + 1)]
    held = []
    for step in range(1, 100):
        true = step / 100
        chances = binom.pmf(range(count + 1), count, true)
        held.append(sum(p for p, (low, high) in zip(chances, ends, strict=True) if low <= true <= high))
    assert sum(held) / len(held) == pytest.approx(0.95, abs=0.01)


def test_only_what_is_right_or_wrong_or_agrees_has_one() -> None:
    assert share_of([1.0, 0.0, 1.0]) == share_interval(2, 3)
    assert share_of([1.0, 0.5]) is None
    assert paired_of([1.0, -1.0, 0.0, 1.0]) == paired_interval(2, 1, 4)
    assert paired_of([0.5, 0.4]) is None
    assert share_of([0.5, 0.5]) == agreed_interval(0.5, 2, 0.0)
    assert paired_of([0.5]) == agreed_interval(0.5, 1, -1.0)
