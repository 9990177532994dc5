"""Whether a result is another one: pairs where there are any, intervals where there are none."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from inference_worker.contracts.evaluate import EvaluationSettings
from inference_worker.evaluation import statistics
from marketplace.bases.models import Base
from marketplace.core.store import blob_store
from marketplace.evaluations.models import EvaluationRun, EvaluationSuite
from marketplace.regressions.comparing import compare, paired_difference

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("count", [1, 8, 37, 500])
def test_the_paired_interval_is_the_engines(count: int) -> None:
    rng = np.random.default_rng(count)
    before, after = rng.integers(0, 2, count).tolist(), rng.integers(0, 2, count).tolist()
    ours, theirs = paired_difference(before, after), statistics.paired_difference(before, after)
    assert ours.model_dump() == pytest.approx(theirs.model_dump())


def measured_run(
    base: Base, suite: EvaluationSuite, values: list[float], *, prompts: str = "p", keep: bool = True
) -> Any:
    """A measured run with these exact matches."""
    estimate = statistics.bootstrap(values, [1.0] * len(values), 2000, 0).model_dump()
    outcomes = [
        {
            "index": place,
            "task": "t",
            "prompt": f"{prompts}{place}",
            "expected": ["x"],
            "answer": "x" if value else "y",
            "exact_match": value,
            "token_f1": value,
        }
        for place, value in enumerate(values)
    ]
    evaluation = {
        **{"suite": "s", "suite_digest": "d", "base": "tiny", "composition": [], "outcomes": outcomes},
        **{"settings": EvaluationSettings().model_dump(mode="json"), "overall": {"exact_match": estimate}},
        **{"tasks": {}, "clusters": {}, "prompt_tokens": 1, "completion_tokens": 1, "seconds": 1.0, "cached": 0},
    }
    digest = blob_store().put_bytes(json.dumps([evaluation]).encode()).sha256 if keep else ""
    return EvaluationRun.objects.create(
        **{"key": "k", "subject_digest": "d", "base": base, "suite": suite, "state": EvaluationRun.State.MEASURED},
        estimates={"overall": {"exact_match": estimate, "token_f1": estimate}},
        difference={"exact_match": {"value": 0.5}},
        outcomes=digest,
    )


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize(
    ("before", "after", "outcome"),
    [
        ([1.0] * 18 + [0.0] * 2, [1.0] * 18 + [0.0] * 2, "within"),
        ([1.0] * 18 + [0.0] * 2, [0.0] * 18 + [1.0] * 2, "worse"),
        ([0.0] * 18 + [1.0] * 2, [1.0] * 20, "better"),
        ([1.0] * 7, [0.0] * 7, "within"),  # too few to say anything
    ],
)
def test_what_is_said(base: Base, before: list[float], after: list[float], outcome: str, keep: bool) -> None:
    suite = EvaluationSuite.objects.create(name="s", builtin="testbed:plural", count=8)
    compared = compare(measured_run(base, suite, before, keep=keep), measured_run(base, suite, after, keep=keep))
    assert (compared.outcome, compared.metric) == (outcome, "exact_match")
    assert (compared.difference is not None) == keep


def test_pairs_see_what_intervals_hide(base: Base) -> None:
    """A tenth of the examples lost: inside of the interval before, and plain when the same examples are compared."""
    suite = EvaluationSuite.objects.create(name="s", builtin="testbed:plural", count=8)
    before, after = [1.0] * 30 + [0.0] * 30, [1.0] * 24 + [0.0] * 36
    assert compare(measured_run(base, suite, before), measured_run(base, suite, after)).outcome == "worse"
    assert (
        compare(measured_run(base, suite, before), measured_run(base, suite, after, prompts="other ")).outcome
        == "within"
    )


def test_a_few_lost_examples_may_be_chance(base: Base) -> None:
    """Five losses and no win: the bootstrap's interval leaves out zero, and a coin falls so once in sixteen times."""
    suite = EvaluationSuite.objects.create(name="s", builtin="testbed:plural", count=8)
    before, after = [1.0] * 30 + [0.0] * 30, [1.0] * 25 + [0.0] * 35
    compared = compare(measured_run(base, suite, before), measured_run(base, suite, after))
    assert compared.difference is not None
    assert compared.difference.high < 0.0
    assert compared.outcome == "within"
