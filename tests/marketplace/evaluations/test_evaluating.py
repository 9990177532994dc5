"""Runs from the request to their numbers, with the engine itself on the shipped base and adapters."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from inference_worker.contracts.evaluate import EvaluateRequest
from marketplace.accounts.models import User
from marketplace.adapters.models import Adapter, Artifact
from marketplace.bases.models import Base
from marketplace.compositions.members import Member
from marketplace.core.errors import Conflict, Invalid, NotFound, TooManyRequests
from marketplace.evaluations.asking import run_on_suite
from marketplace.evaluations.models import EvaluationRun, EvaluationSuite
from marketplace.evaluations.services import request_evaluation
from marketplace.evaluations.subjects import Subject, adapter_as_subject, subject_of
from marketplace.evaluations.suite_services import create_suite
from marketplace.evaluations.suites import builtin_suites, examples_suite
from marketplace.evaluations.tasks import evaluate_when_ready
from marketplace.jobs.models import Job
from marketplace.jobs.services import cancel_job, retry_job
from marketplace.moderation.models import AuditEntry
from tests.marketplace.evaluations.conftest import MakeShipped, fail_evaluation, run_evaluation

pytestmark = pytest.mark.django_db
RunWaiting = Callable[[], list[Job]]
State = EvaluationRun.State


@pytest.fixture
def adapter(make_shipped: MakeShipped, ada: User) -> Adapter:
    return make_shipped(ada, "reverse-words")


def subject(adapter: Adapter) -> Subject:
    assert adapter.base is not None
    return adapter_as_subject(adapter, adapter.base)


def suites_of(adapter: Adapter) -> list[EvaluationSuite]:
    assert adapter.base is not None
    own = examples_suite(adapter)
    assert own is not None
    return [own, *builtin_suites(adapter.base)]


def test_an_adapter_is_measured_beside_its_base(adapter: Adapter, ada: User, run_waiting: RunWaiting) -> None:
    own, probe = request_evaluation(user=ada, subject=subject(adapter), suites=suites_of(adapter))
    (job,) = run_waiting()
    assert (job.queue, job.request["anew"]) == ("train", False)
    for run in (own, probe):
        run.refresh_from_db()
        assert (run.state, run.against.state) == (State.MEASURED, State.MEASURED)
        assert run.against.subject == []
        before, after = (row.estimates["overall"]["exact_match"] for row in (run.against, run))
        difference = run.difference["exact_match"]
        assert difference["value"] == pytest.approx(after["value"] - before["value"])
        assert difference["low"] <= difference["value"] <= difference["high"]
    assert own.estimates["overall"]["exact_match"]["n"] == 10
    assert own.difference["exact_match"]["low"] > 0.0, "an adapter is better than its base at its own task"
    assert set(probe.estimates["tasks"]) == {"plural"}
    assert AuditEntry.objects.get(action="evaluation.request").target == "ada/reverse-words"


def test_everything_is_asked_in_the_adapters_own_format(adapter: Adapter, ada: User, run_waiting: RunWaiting) -> None:
    own_format = {"kind": "plain", "template": "Q: {prompt}\nA:", "system": "", "stop": ["\n"]}
    before = request_evaluation(user=ada, subject=subject(adapter), suites=suites_of(adapter))
    assert adapter.current is not None
    adapter.current.prompt_format = own_format
    runs = request_evaluation(user=ada, subject=subject(adapter), suites=suites_of(adapter))
    assert {run.key for run in before}.isdisjoint(run.key for run in runs)
    asked = EvaluateRequest.model_validate(runs[0].job.request)
    assert [suite.prompt_format.model_dump(mode="json") for suite in asked.suites if suite.prompt_format] == [
        own_format
    ] * 2, "the examples and the probes, for the bare base, too"
    run_waiting()
    for run in runs:
        run.refresh_from_db()
        assert (run.prompt_format, run.against.prompt_format) == (own_format, own_format)


def test_nothing_is_measured_twice(
    adapter: Adapter, ada: User, bob: User, make_shipped: MakeShipped, run_waiting: RunWaiting
) -> None:
    suites = suites_of(adapter)
    first = request_evaluation(user=ada, subject=subject(adapter), suites=suites)
    assert request_evaluation(user=bob, subject=subject(adapter), suites=suites) == first, "it waits for the first"
    run_waiting()
    assert [run.state for run in request_evaluation(user=bob, subject=subject(adapter), suites=suites)] == [
        State.MEASURED,
        State.MEASURED,
    ]
    assert Job.objects.filter(kind="evaluate").count() == 1

    other = make_shipped(bob, "opposites")
    request_evaluation(user=bob, subject=subject(other), suites=suites[1:])
    (job,) = run_waiting()
    request = EvaluateRequest.model_validate(job.request)
    assert [(known.suite, known.composition) for known in request.known] == [(0, 0)], "the base has answered the probes"
    assert EvaluationRun.objects.filter(subject=[], suite=suites[1]).count() == 1


def test_again_keeps_the_earlier_result(adapter: Adapter, ada: User, run_waiting: RunWaiting) -> None:
    suites = suites_of(adapter)[:1]
    (first,) = request_evaluation(user=ada, subject=subject(adapter), suites=suites)
    run_waiting()
    (second,) = request_evaluation(user=ada, subject=subject(adapter), suites=suites, again=True)
    (job,) = run_waiting()
    assert job.request["anew"], "nothing is taken from what the worker found for other jobs"
    first.refresh_from_db()
    second.refresh_from_db()
    assert first.pk != second.pk
    assert (first.key, first.estimates) == (second.key, second.estimates), "greedy answers are the same ones"


def test_other_weights_are_another_subject(adapter: Adapter, base: Base) -> None:
    half = subject_of([Member(adapter, adapter.current, 0.5)], base)
    none = subject_of([Member(adapter, adapter.current, 1.0), Member(adapter, adapter.current, 0.0)], base)
    assert half.digest != subject(adapter).digest == none.digest
    assert half.artifact is None


def test_a_failed_run_says_why_and_is_tried_again(adapter: Adapter, ada: User, run_waiting: RunWaiting) -> None:
    (run,) = request_evaluation(user=ada, subject=subject(adapter), suites=suites_of(adapter)[:1])
    job = Job.objects.get(kind="evaluate")
    fail_evaluation(job)
    run.refresh_from_db()
    assert (run.state, run.fault) == (State.FAILED, "It ran out of memory.")
    retry_job(user=ada, job=job)
    run.refresh_from_db()
    assert run.state == State.WAITING
    run_waiting()
    run.refresh_from_db()
    assert run.state == State.MEASURED


def test_a_cancelled_run_can_be_asked_for_anew(adapter: Adapter, ada: User, run_waiting: RunWaiting) -> None:
    suites = suites_of(adapter)[:1]
    (run,) = request_evaluation(user=ada, subject=subject(adapter), suites=suites)
    job = Job.objects.get(kind="evaluate")
    cancel_job(user=ada, job=job)
    run.refresh_from_db()
    assert (run.state, run.fault) == (State.FAILED, "It was cancelled.")
    (anew,) = request_evaluation(user=ada, subject=subject(adapter), suites=suites)
    assert anew.pk != run.pk
    assert not EvaluationRun.objects.filter(pk=run.pk).exists()
    failed = EvaluationRun.objects.create(
        key=anew.key, base=anew.base, suite=anew.suite, state=State.FAILED, subject_digest="0"
    )
    job.refresh_from_db()
    job.subject = {**job.subject, "runs": [[str(failed.pk)]]}
    job.save()
    with pytest.raises(Conflict, match="by now"):
        retry_job(user=ada, job=job)


def test_what_waits_by_itself_is_moved_up_for_who_asks(
    adapter: Adapter, ada: User, bob: User, settings: Any, django_capture_on_commit_callbacks: Any
) -> None:
    settings.JOBS_OPEN_PER_PERSON = 1
    suites = suites_of(adapter)
    (run, _) = request_evaluation(user=ada, subject=subject(adapter), suites=suites)
    job = Job.objects.get(kind="evaluate")
    assert job.subject["asked"] is False
    with django_capture_on_commit_callbacks(execute=False) as sent:
        found = request_evaluation(user=bob, subject=subject(adapter), suites=suites[1:], asked=True)
    assert (found[0].job_id, len(sent)) == (job.pk, 1)
    job.refresh_from_db()
    assert job.subject["hurried_by"] == bob.pk
    assert run.job_id == job.pk, "and nothing is measured twice"
    other = EvaluationSuite.objects.create(
        name="o", kind="builtin", builtin="testbed:reverse", base=adapter.base, count=1
    )
    with pytest.raises(TooManyRequests):
        request_evaluation(user=bob, subject=subject(adapter), suites=[other], asked=True)
    assert request_evaluation(user=ada, subject=subject(adapter), suites=[other], asked=True), "ada asked for nothing"


def test_what_is_seeded_is_run_as_soon_as_it_can_be(
    adapter: Adapter, bob: User, run_waiting: RunWaiting, settings: Any
) -> None:
    lines = '{"prompt": "Instruction: Reverse.\\nInput: a b", "expected": "b a"}'
    suite = create_suite(user=bob, name="Mine", lines=lines, visibility="public")
    Artifact.objects.update(state=Artifact.State.PENDING)
    assert not run_on_suite(adapter=adapter.pk, suite=str(suite.pk)), "it is looked at again"
    Artifact.objects.update(state=Artifact.State.VALID)
    evaluate_when_ready.apply(kwargs={"adapter": adapter.pk, "suite": str(suite.pk)}, throw=True)
    assert not Job.objects.filter(kind="evaluate").exists(), "where nothing runs by itself"
    settings.EVALUATE_UPLOADS = True
    for _ in range(2):
        evaluate_when_ready.apply(kwargs={"adapter": adapter.pk, "suite": str(suite.pk)}, throw=True)
    (job,) = run_waiting()
    assert (job.owner, job.subject["asked"]) == (bob, False), "nobody waits for it"
    assert EvaluationRun.objects.get(suite=suite, artifact=adapter.current.artifact).state == State.MEASURED
    Adapter.objects.update(visibility="private")
    assert run_on_suite(adapter=adapter.pk, suite=str(suite.pk)), "what became private is let be"
    EvaluationSuite.objects.filter(pk=suite.pk).delete()
    assert run_on_suite(adapter=adapter.pk, suite=str(suite.pk))


def test_trying_again_rests_on_what_its_owner_may_use(adapter: Adapter, bob: User, make_person: Any) -> None:
    """Whoever tries: the result is the owner's, and an operator sees more than they do."""
    request_evaluation(user=bob, subject=subject(adapter), suites=suites_of(adapter)[1:])
    job = Job.objects.get(kind="evaluate")
    fail_evaluation(job)
    Adapter.objects.filter(pk=adapter.pk).update(visibility="private")
    admin = make_person("root", is_superuser=True, is_staff=True)
    job.refresh_from_db()
    with pytest.raises(NotFound):
        retry_job(user=admin, job=job)
    Adapter.objects.filter(pk=adapter.pk).update(visibility="public")
    assert retry_job(user=admin, job=job).state == Job.State.QUEUED


def test_a_suite_that_goes_takes_its_runs_along(adapter: Adapter, ada: User, tmp_path: Path) -> None:
    own, probe = request_evaluation(user=ada, subject=subject(adapter), suites=suites_of(adapter))
    adapter.examples.filter(position=0).delete()
    examples_suite(adapter)
    run_evaluation(Job.objects.get(kind="evaluate"), tmp_path)
    assert not EvaluationRun.objects.filter(pk=own.pk).exists()
    probe.refresh_from_db()
    assert probe.state == State.MEASURED


def test_what_cannot_be_run_is_refused(adapter: Adapter, ada: User, bob: User, base: Base, make_shipped: Any) -> None:
    suites = suites_of(adapter)
    private = make_shipped(ada, "mine", shipped="opposites", visibility="private")
    with pytest.raises(NotFound):
        request_evaluation(user=bob, subject=subject(private), suites=suites)
    secret = examples_suite(private)
    with pytest.raises(NotFound, match="no such suite"):
        request_evaluation(user=bob, subject=subject(adapter), suites=[secret])
    other = Base.objects.create(name="other", source="/other", state=Base.State.READY)
    elsewhere = EvaluationSuite.objects.create(kind="builtin", builtin="testbed:plural", base=other, count=1)
    with pytest.raises(Invalid, match="another base"):
        request_evaluation(user=bob, subject=subject(adapter), suites=[elsewhere])
    adapter.base.served = False
    with pytest.raises(Conflict, match="not served"):
        request_evaluation(user=bob, subject=subject(adapter), suites=suites)


def test_the_right_is_asked_again_when_the_result_comes(adapter: Adapter, bob: User, tmp_path: Path) -> None:
    (run,) = request_evaluation(user=bob, subject=subject(adapter), suites=suites_of(adapter)[1:])
    Adapter.objects.filter(pk=adapter.pk).update(visibility="private")
    job = Job.objects.get(kind="evaluate")
    run_evaluation(job, tmp_path)
    job.refresh_from_db()
    run.refresh_from_db()
    assert (job.state, run.state) == (Job.State.FAILED, State.FAILED)
