"""Whose examples are read: by adapter and example, never by a prompt that another has, too."""

from __future__ import annotations

import pytest

from inference_worker.contracts.evaluate import Outcome
from marketplace.accounts.models import User
from marketplace.adapters.models import ExamplePrompt
from marketplace.bases.models import Base
from marketplace.compositions.members import Choice
from marketplace.compositions.mix_runs import evaluate_mix
from marketplace.compositions.mixes import create_mix
from marketplace.core.errors import TooManyRequests
from marketplace.evaluations.asking import ask_for_evaluation
from marketplace.evaluations.models import EvaluationRun, EvaluationSuite
from marketplace.evaluations.selectors import outcomes_of, runs_on
from marketplace.evaluations.standing import evaluate_adapter
from marketplace.evaluations.suites import parent_task, probe_suite
from marketplace.jobs.models import Job
from marketplace.jobs.services import cancel_job, retry_job
from tests.marketplace.evaluations.conftest import MakeShipped

pytestmark = pytest.mark.django_db


def _outcome(index: int, task: str, example: ExamplePrompt) -> Outcome:
    return Outcome(index=index, task=task, prompt=example.prompt, expected=(example.expected,), answer="a")


def test_a_private_example_stays_private_although_another_adapter_shows_its_prompt(
    make_shipped: MakeShipped, base: Base, ada: User, bob: User
) -> None:
    merge = make_shipped(ada, "merge", shipped="reverse-words", examples=0)
    secret, open_one = (
        make_shipped(ada, "secret", shipped="opposites", examples=0),
        make_shipped(bob, "open", shipped="past-tense", examples=0),
    )
    hidden = ExamplePrompt.objects.create(adapter=secret, prompt="Who?", expected="Nobody knows", public=False)
    shown = ExamplePrompt.objects.create(adapter=open_one, prompt="Who?", expected="Me", public=True)
    suite = EvaluationSuite.objects.create(kind="parents", adapter=merge, name="Parents", sha256="0" * 64, count=2)
    run = EvaluationRun.objects.create(key="k", subject_digest="d", base=base, suite=suite)
    found = [_outcome(0, parent_task(secret.pk), hidden), _outcome(1, parent_task(open_one.pk), shown)]
    assert [row.index for row in outcomes_of(user=bob, adapter=merge, run=run, found=found)] == [1]


def test_a_suite_lists_the_best_newest_runs(make_shipped: MakeShipped, base: Base, ada: User) -> None:
    suite = probe_suite(base)
    assert suite is not None
    for name, values in {"reverse-words": (0.9, 0.2), "opposites": (0.1, 0.7), "past-tense": (0.5,)}.items():
        adapter = make_shipped(ada, name)
        assert adapter.current is not None
        for number, value in enumerate(values):
            EvaluationRun.objects.create(
                **{"key": f"{name}{number}", "subject_digest": name, "base": base, "suite": suite, "state": "measured"},
                artifact=adapter.current.artifact,
                estimates={"overall": {"exact_match": {"value": value}}},
                finished_at=f"2026-01-0{number + 1}T00:00:00Z",
            )
    assert [adapter.name for _, adapter in runs_on(ada, suite, limit=50)] == [
        "opposites",
        "past-tense",
        "reverse-words",
    ]
    assert [adapter.name for _, adapter in runs_on(ada, suite, limit=1)] == ["opposites"]


def test_one_person_asks_for_so_much_at_once(make_shipped: MakeShipped, ada: User, settings: object) -> None:
    settings.JOBS_OPEN_PER_PERSON = 1  # type: ignore[attr-defined]
    first, second = make_shipped(ada, "reverse-words"), make_shipped(ada, "opposites")
    evaluate_adapter(first)
    ask_for_evaluation(user=ada, adapter=second)
    EvaluationRun.objects.all().delete()
    with pytest.raises(TooManyRequests, match="1 evaluations of yours are under way"):
        ask_for_evaluation(user=ada, adapter=second)
    assert evaluate_adapter(make_shipped(ada, "past-tense")), "what runs by itself is not counted"
    Job.objects.update(state="cancelled")
    EvaluationRun.objects.all().delete()
    assert ask_for_evaluation(user=ada, adapter=second)


def test_a_mix_that_somebody_has_evaluated_counts(make_shipped: MakeShipped, ada: User, settings: object) -> None:
    settings.JOBS_OPEN_PER_PERSON = 1  # type: ignore[attr-defined]
    members = [Choice(make_shipped(ada, name), 0.5) for name in ("reverse-words", "opposites")]
    mix = create_mix(user=ada, name="both", members=members, visibility="public")
    assert evaluate_mix(user=ada, mix=mix), "by itself"
    by_itself = Job.objects.get(kind="evaluate")
    cancel_job(user=ada, job=by_itself)
    assert evaluate_mix(user=ada, mix=mix, asked=True)
    asked = Job.objects.get(kind="evaluate", subject__asked=True)
    EvaluationRun.objects.all().delete()
    with pytest.raises(TooManyRequests, match="1 evaluations of yours are under way"):
        evaluate_mix(user=ada, mix=mix, asked=True)
    EvaluationRun.objects.all().delete()
    other = create_mix(user=ada, name="other", members=members[:1], visibility="public")
    assert evaluate_mix(user=ada, mix=other), "by itself"
    stopped = Job.objects.filter(kind="evaluate").latest("created_at")
    cancel_job(user=ada, job=stopped)
    with pytest.raises(TooManyRequests):
        retry_job(user=ada, job=stopped)
    cancel_job(user=ada, job=asked)
