"""Verdicts: codes and words for intervals of every kind."""

from __future__ import annotations

from typing import Any

import pytest

from marketplace.evaluations.models import EvaluationRun, EvaluationSuite
from marketplace.evaluations.verdicts import effect, verdicts_of


def estimate(value: float, low: float, high: float, n: int = 20) -> dict[str, Any]:
    return {"value": value, "low": low, "high": high, "n": n}


def counted(wins: int, losses: int, n: int, low: float, high: float, same_answers: int = 0) -> dict[str, Any]:
    counts = {"wins": wins, "losses": losses, "same_answers": same_answers}
    return {**estimate((wins - losses) / n, low, high, n), **counts}


@pytest.mark.parametrize(
    ("interval", "expected"),
    [
        (estimate(0.8, 0.6, 0.95), "better"),
        (estimate(0.0, 0.0, 0.0), "no_effect"),
        (estimate(0.01, -0.04, 0.05), "no_effect"),
        # Surely above zero, and surely not worth speaking of.
        (estimate(0.02, 0.01, 0.03, 5000), "no_effect"),
        (estimate(-0.3, -0.5, -0.1), "worse"),
        (estimate(0.05, -0.1, 0.2), "unclear"),
        (estimate(1.0, 1.0, 1.0, 7), "unclear"),
        # Five of eight without one against them: the interval lies above zero, and chance does it one time in sixteen.
        (counted(5, 0, 8, 0.25, 0.88), "unclear"),
        (counted(6, 0, 8, 0.5, 1.0), "better"),
        (counted(0, 6, 8, -1.0, -0.5), "worse"),
        (counted(9, 2, 20, 0.05, 0.65), "unclear"),
        (counted(10, 1, 20, 0.2, 0.7), "better"),
        (counted(0, 0, 8, 0.0, 0.0), "unclear"),
        (counted(0, 0, 15, 0.0, 0.0), "unclear"),
        (counted(0, 0, 16, 0.0, 0.0), "no_effect"),
        # None scores otherwise, and sixteen leave room for much all the same.
        (counted(0, 0, 16, -0.19, 0.19), "no_effect"),
        (counted(1, 1, 16, -0.23, 0.23), "unclear"),
        # Word by word what the base answers.
        (counted(0, 0, 8, 0.0, 0.0, same_answers=8), "no_effect"),
        (counted(0, 0, 7, 0.0, 0.0, same_answers=7), "unclear"),
        (None, ""),
    ],
)
def test_effects(interval: dict[str, Any] | None, expected: str) -> None:
    assert effect(interval) == expected


def run_of(
    difference: dict[str, Any], own: float, kind: str = "examples", probe: bool = False, **fields: Any
) -> EvaluationRun:
    suite = EvaluationSuite(kind=kind, name="Probes", probe=probe)
    return EvaluationRun(
        suite=suite,
        state=EvaluationRun.State.MEASURED,
        estimates={"overall": {"exact_match": estimate(own, own, own)}},
        difference={"exact_match": difference},
        subject=[{"label": "ada/a", "weight": 1.0}],
        **fields,
    )


def test_words_carry_the_numbers() -> None:
    (better,) = verdicts_of([run_of(estimate(0.75, 0.6, 0.9), 0.85)])
    assert (better.code, better.severity, better.title) == (
        "better",
        "good",
        "Better than its base on its own examples",
    )
    assert better.message == ("Exact match 85 %, its base 10 %: 75 points more (95 % interval 60 to 90, 20 examples).")
    (worse,) = verdicts_of([run_of(estimate(-0.3, -0.5, -0.1), 0.2)])
    assert worse.title == "Worse than its base on its own examples"
    assert "its base 50 %: 30 points less (95 % interval 10 to 50" in worse.message
    (none,) = verdicts_of([run_of(estimate(0.0, -0.05, 0.05), 0.5)])
    assert none.title == "No effect on its own examples"
    assert "0 points apart (95 % interval −5 to 5" in none.message


def test_few_examples_say_little() -> None:
    (verdict,) = verdicts_of([run_of(estimate(1.0, 1.0, 1.0, 5), 1.0)])
    assert verdict.code == "unclear"
    assert verdict.message.endswith("At least 8 examples are needed.")


def test_what_is_unclear_says_why() -> None:
    def why(difference: dict[str, Any]) -> str:
        (verdict,) = verdicts_of([run_of(difference, 0.9)])
        return verdict.message

    assert why(counted(5, 0, 8, 0.25, 0.88)).endswith("Chance alone makes such wins and losses too often (sign test).")
    assert why(counted(0, 0, 9, 0.0, 0.0)).endswith("To say that it has none takes 16 examples.")
    assert why(counted(3, 2, 9, -0.2, 0.4)).endswith("The interval leaves it open.")


def test_probes_are_spoken_of_when_they_are_forgotten() -> None:
    assert verdicts_of([run_of(estimate(0.0, -0.02, 0.02), 0.9, "builtin", True)]) == []
    (verdict,) = verdicts_of([run_of(estimate(-0.5, -0.6, -0.4), 0.4, "builtin", True)])
    assert (verdict.code, verdict.severity, verdict.title) == ("forgets", "warning", "Forgets the probes")
    assert verdict.message.endswith("20 examples). Probes ask what the bare base could do.")


def test_what_is_said_adds_up() -> None:
    """29 and 28 right of 32: neither 91 and 88 that are 3 apart, nor 90.6 and 87.5 that are 3 apart."""
    (verdict,) = verdicts_of([run_of(estimate(-1 / 32, -0.09, 0.03, 32), 28 / 32)])
    assert (
        "Exact match 87.5 %, its base 90.6 %: 3.1 points less (95 % interval −3 to 9, 32 examples)" in verdict.message
    )


def test_long_answers_are_judged_by_their_words() -> None:
    """Nobody writes a paragraph exactly as it was expected."""
    run = run_of(estimate(0.0, 0.0, 0.0), 0.0)
    run.estimates["overall"]["token_f1"] = estimate(0.7, 0.6, 0.8)
    run.difference["token_f1"] = estimate(0.4, 0.3, 0.5)
    (verdict,) = verdicts_of([run])
    assert verdict.code == "better"
    assert verdict.message.startswith("Token F1 70 %, its base 30 %")


@pytest.mark.parametrize(
    ("against_best", "expected"),
    [
        (estimate(0.3, 0.1, 0.5), []),
        (estimate(0.0, 0.0, 0.0), ["no_better_than_parent"]),
        (estimate(0.1, -0.1, 0.3), ["no_better_than_parent"]),
        (estimate(-0.3, -0.4, -0.2), ["worse_than_parent"]),
        (estimate(-0.3, -0.4, -0.2, n=7), []),
    ],
)
def test_a_merge_is_compared_with_its_best_parent(against_best: dict[str, Any], expected: list[str]) -> None:
    weak, best = (run_of(estimate(0.1, 0.0, 0.2), own, "parents") for own in (0.3, 0.6))
    merge = run_of(estimate(0.5, 0.4, 0.6), 0.6, "parents")
    merge.differences = {
        str(weak.pk): {"exact_match": estimate(0.3, 0.2, 0.4)},
        str(best.pk): {"exact_match": against_best},
    }
    found = verdicts_of([merge], [(weak, "bob/weak"), (best, "bob/best")])
    assert [verdict.code for verdict in found[1:]] == expected
    assert all("bob/best" in verdict.message for verdict in found[1:])
