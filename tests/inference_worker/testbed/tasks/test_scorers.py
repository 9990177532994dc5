"""Exact match and token F1."""

from __future__ import annotations

import pytest

from inference_worker.testbed.tasks import exact_match, token_f1


@pytest.mark.parametrize(
    ("answer", "expected", "match", "f1"),
    [
        ("cats dogs", "cats dogs", True, 1.0),
        (" cats  dogs\n", "cats dogs", True, 1.0),
        ("dogs cats", "cats dogs", False, 1.0),
        ("cats", "cats dogs", False, 2 / 3),
        ("cats cats", "cats dogs", False, 0.5),
        ("fish", "cats dogs", False, 0.0),
        ("", "cats", False, 0.0),
        ("cats", "", False, 0.0),
        ("", "", True, 1.0),
    ],
)
def test_scores(answer: str, expected: str, match: bool, f1: float) -> None:
    assert exact_match(answer, expected) is match
    assert token_f1(answer, expected) == pytest.approx(f1)
