"""The bootstrap against plain loops and known answers."""

from __future__ import annotations

import math
import random
from statistics import NormalDist, mean, stdev

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference_worker.contracts.evaluate import Outcome
from inference_worker.contracts.intervals import agreed_interval, paired_interval, share_interval
from inference_worker.evaluation import statistics
from inference_worker.evaluation.statistics import bootstrap, estimate, paired_difference


def outcome(index: int, **values: object) -> Outcome:
    return Outcome(index=index, task="t", prompt="p", expected=("x",), answer="x", **values)  # type: ignore[arg-type]


def test_the_interval_is_the_normal_one_for_many_examples() -> None:
    rng = random.Random(0)
    values = [float(rng.random() < 0.3) for _ in range(2000)]
    found = bootstrap(values, [1.0] * len(values), 4000, seed=1)
    half = NormalDist().inv_cdf(0.975) * stdev(values) / math.sqrt(len(values))
    assert found.value == pytest.approx(mean(values))
    assert found.low == pytest.approx(mean(values) - half, abs=0.003)
    assert found.high == pytest.approx(mean(values) + half, abs=0.003)


def test_it_is_the_plain_definition() -> None:
    values, weights = [0.0, 1.0, 3.0], [1.0, 2.0, 1.0]
    draws = np.random.default_rng([7, 3]).integers(0, 3, size=(100, 3))
    ratios = [sum(values[i] for i in row) / sum(weights[i] for i in row) for row in draws]
    found = bootstrap(values, weights, 100, seed=7)
    assert (found.value, found.n) == (1.0, 3)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(ratios, (0.025, 0.975))))


def test_blocks_do_not_change_it(monkeypatch: pytest.MonkeyPatch) -> None:
    values = [float(i % 3 == 0) for i in range(50)]
    whole = bootstrap(values, [1.0] * 50, 300, seed=2)
    monkeypatch.setattr(statistics, "_BLOCK", 120)
    assert bootstrap(values, [1.0] * 50, 300, seed=2) == whole


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_the_interval_lies_between_the_extremes(values: list[float]) -> None:
    found = bootstrap(values, [1.0] * len(values), 100, seed=0)
    assert min(values) - 1e-9 <= found.low <= found.high <= max(values) + 1e-9


def test_perplexity_is_of_all_tokens_together() -> None:
    outcomes = [outcome(0, logprob=-2.0, answer_tokens=1), outcome(1, logprob=-1.0, answer_tokens=5), outcome(2)]
    found = estimate(outcomes, "perplexity", 200, 0)
    assert found is not None
    assert found.value == pytest.approx(math.exp(3 / 6))
    assert (found.n, found.low <= found.value <= found.high) == (2, True)
    assert estimate([outcome(0)], "perplexity", 200, 0) is None
    huge = estimate([outcome(0, logprob=-1e6, answer_tokens=1)], "perplexity", 200, 0)
    assert huge is not None
    assert math.isfinite(huge.value)


def test_what_is_right_or_wrong_has_score_intervals() -> None:
    """Also where all examples agree: sixteen right answers are no proof."""
    right = [outcome(index, exact_match=1.0, token_f1=0.5 + index / 100) for index in range(16)]
    found = estimate(right, "exact_match", 200, 0)
    assert found is not None
    assert (found.value, found.n) == (1.0, 16)
    assert (found.low, found.high) == share_interval(16, 16)
    gain = paired_difference([0.0] * 16, [1.0] * 16)
    assert (gain.low, gain.high) == paired_interval(16, 0, 16)
    assert 0.6 < gain.low < 0.62
    between = estimate(right, "token_f1", 200, 0)
    assert between == bootstrap([0.5 + index / 100 for index in range(16)], [1.0] * 16, 200, 0)


def test_paired_differences_are_narrower_than_the_values() -> None:
    rng = random.Random(1)
    before = [rng.random() for _ in range(200)]
    after = [value + 0.1 + rng.random() / 100 for value in before]
    found, alone = paired_difference(before, after), bootstrap(before, [1.0] * 200, 2000, 0)
    assert found.value == pytest.approx(0.105, abs=0.001)
    assert found.high - found.low < (alone.high - alone.low) / 10
    with pytest.raises(ValueError, match="same examples"):
        paired_difference([1.0], [1.0, 2.0])


@pytest.mark.parametrize("count", [1, 8, 16, 200])
@pytest.mark.parametrize("value", [0.0, 0.1, 0.5, 0.97, 1.0])
def test_values_that_all_agree_have_a_width(value: float, count: int) -> None:
    """Nothing can be resampled there. About as wide as score intervals where both are known."""
    found = estimate([outcome(index, token_f1=value) for index in range(count)], "token_f1", 200, 0)
    gain = paired_difference([0.2] * count, [0.2 + value] * count)
    assert found is not None
    for interval, least in ((found, 0.0), (gain, -1.0)):
        assert least <= interval.low <= interval.value <= interval.high <= 1.0
        assert interval.value == pytest.approx(value)
        assert 0.15 / math.sqrt(count) < interval.high - interval.low < 3.2 / math.sqrt(count)
    for known, made in (
        (share_interval(count * value, count), agreed_interval(value, count, 0.0)),
        (paired_interval(round(count * value), 0, count), agreed_interval(value, count, -1.0)),
    ):
        if value in (0.0, 1.0) and count >= 8:
            assert made == pytest.approx(known, abs=0.12)
