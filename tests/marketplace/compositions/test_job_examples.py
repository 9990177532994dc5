"""Examples of adapters are in the plans of merges, previews and sweeps while these run, and nowhere afterwards."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.test import TestCase

from inference_worker.contracts.jobs import JobFault, JobOutcome, partial_name
from inference_worker.contracts.merge import MergeRequest
from inference_worker.contracts.merge_preview import MergePreviewRequest
from inference_worker.contracts.merge_sweep import MergeSweepRequest
from marketplace.accounts.models import User
from marketplace.adapters import garbage
from marketplace.adapters.models import Adapter
from marketplace.adapters.services import edit_adapter
from marketplace.adapters.services.deleting import delete_adapter, purge_adapter, restore_adapter
from marketplace.bases.models import Base
from marketplace.compositions import services
from marketplace.compositions.halves import is_for_fitting
from marketplace.compositions.lab import previews, sweeps
from marketplace.compositions.tasks import forget_examples
from marketplace.core.errors import AppError, Conflict, Invalid, NotFound
from marketplace.core.store import blob_store
from marketplace.evaluations.suite_services import create_suite, edit_suite
from marketplace.jobs.models import Job
from marketplace.jobs.services import cancel_job, record_outcome, retry_job

MakeAdapter = Callable[..., Adapter]
Members = list[tuple[Adapter, float]]
pytestmark = pytest.mark.django_db
SECRET = "past: quartz"


@pytest.fixture
def pair(make_adapter: MakeAdapter, ada: User, bob: User) -> Members:
    """Ada's own adapter, and one of Bob's, each with twelve public examples."""
    base = Base.objects.create(name="tiny", source="/srv/tiny", state=Base.State.READY, task="CAUSAL_LM")
    members = []
    for owner, name, words in ((ada, "plural", "plural: cat"), (bob, "past", SECRET)):
        adapter = make_adapter(owner, name, base="tiny", license="mit")
        adapter.base = base
        adapter.save()
        assert adapter.current is not None
        artifact = adapter.current.artifact
        artifact.modules = [{"name": "layers.0.q_proj", "rank": 8, "d_in": 16, "d_out": 16, "norm": 1.0}]
        artifact.summary = {"features": [], "task_type": "CAUSAL_LM"}
        artifact.save()
        for position in range(12):
            adapter.examples.create(prompt=f"{words} {position}", expected="x", position=position, public=True)
        members.append((adapter, 1.0))
    return members


def start(kind: str, user: User, members: Members) -> Job:
    """A job whose plan holds examples of both members."""
    if kind == "merge":
        return services.create_merge(user=user, name="both", members=members, method="lorahub")
    if kind == "merge_preview":
        prompts = ["plural: cat 0", f"{SECRET} 0", "of my own"]
        return previews.create_preview(user=user, members=members, method="lorahub", prompts=prompts)
    return sweeps.create_sweep(
        user=user, members=members, axes=sweeps.Axes(ranks=[2, 4]), asked=sweeps.Asked(), method="lorahub"
    )


def stored(job: Job) -> str:
    """Everything that the row holds, as text."""
    row = Job.objects.filter(pk=job.pk).values("request", "subject", "result", "log", "title").get()
    return json.dumps(row, ensure_ascii=False)


def end(job: Job, result: dict[str, Any] | None = None) -> Job:
    """As a worker reports; without a result it has failed."""
    job.refresh_from_db()
    now = time.time()
    fault = None if result is not None else JobFault(code="bad", message="It broke.")
    status: Any = "failed" if result is None else "succeeded"
    outcome = JobOutcome(
        job=str(job.pk),
        attempt=job.attempt,
        status=status,
        result=result,
        fault=fault,
        started_at=now,
        finished_at=now,
    )
    assert record_outcome(outcome)
    job.refresh_from_db()
    return job


def purge(owner: User, adapter: Adapter) -> None:
    delete_adapter(user=owner, adapter=adapter)
    purge_adapter(user=owner, adapter=adapter)


def answers(count: int = 3) -> dict[str, Any]:
    rows = [{"text": f"you asked {SECRET} {n}", "tokens": 1, "finish_reason": "stop"} for n in range(count)]
    column = {"kind": "merge", "label": "the merge", "position": 0, "answers": rows}
    return {"columns": [column], "composed": True, "rank": None, "merge_seconds": 0.1, "seconds": 1.0}


KINDS = ("merge", "merge_preview", "merge_sweep")


@pytest.mark.parametrize("kind", KINDS)
def test_a_job_that_has_ended_holds_no_fitting_examples(kind: str, pair: Members, ada: User) -> None:
    job = start(kind, ada, pair)
    assert SECRET in stored(job), "its plan is closed"
    assert end(job).state == Job.State.FAILED
    if kind != "merge_preview":
        assert SECRET not in stored(job)
    else:
        assert job.request["merge"]["fit"] is None
        assert job.request["prompts"][1] == f"{SECRET} 0", "what its owner sent, and may see"


def test_success_lets_go_too(pair: Members, ada: User, client: Any) -> None:
    job = start("merge_sweep", ada, pair)
    number = len(job.request["suite"]["examples"])
    end(job, {"cells": [], "best_parent": 0, "seconds": 1.0})
    assert job.state == Job.State.SUCCEEDED
    assert SECRET not in stored(job)
    client.force_login(ada)
    assert f"({number} examples)" in client.get(f"/combine/sweeps/{job.pk}").content.decode()


@pytest.mark.parametrize("kind", KINDS)
def test_trying_again_looks_them_up_anew(kind: str, pair: Members, ada: User, bob: User) -> None:
    job = start(kind, ada, pair)
    cancel_job(user=ada, job=job)
    kept = [(f"{SECRET} {n}", "x") for n in range(12)]
    edit_adapter(user=bob, adapter=pair[1][0], examples=[("past: new 1", "y"), *kept])
    pair[1][0].examples.exclude(prompt="past: new 1").update(public=False)
    pair[1][0].examples.filter(prompt="past: new 1").update(public=True)
    job = retry_job(user=ada, job=job)
    assert job.state == Job.State.QUEUED
    assert SECRET not in stored(job), "Bob has closed them"
    assert "plural: cat" in stored(job)
    if kind == "merge":
        assert MergeRequest.model_validate(job.request).fit is not None
        assert ("past: new 1" in stored(job)) == is_for_fitting("past: new 1")
    elif kind == "merge_preview":
        assert MergePreviewRequest.model_validate(job.request).prompts == ("plural: cat 0", "of my own")
    else:
        sweep = MergeSweepRequest.model_validate(job.request)
        assert sweep.points[0].merge.fit == sweep.points[1].merge.fit is not None
        assert not any(is_for_fitting(row.prompt) for row in sweep.suite.examples)


def test_an_operators_help_reads_with_the_owners_eyes(pair: Members, ada: User, bob: User) -> None:
    job = start("merge", ada, pair)
    cancel_job(user=ada, job=job)
    pair[1][0].examples.update(public=False)
    operator = User.objects.create_user("root", "root@example.com", "x", is_staff=True, is_superuser=True)
    assert SECRET not in stored(retry_job(user=operator, job=job))


def test_too_few_that_are_left_are_said_before_the_work(pair: Members, ada: User, bob: User) -> None:
    job = start("merge", ada, pair)
    cancel_job(user=ada, job=job)
    for adapter, _ in pair:
        adapter.examples.all().delete()
    with pytest.raises(Invalid, match="at least 4 examples"):
        retry_job(user=ada, job=job)
    job.refresh_from_db()
    assert job.state == Job.State.CANCELLED


@pytest.mark.parametrize("kind", KINDS)
def test_purging_stops_what_runs_and_leaves_nothing(kind: str, pair: Members, ada: User, bob: User) -> None:
    job = start(kind, ada, pair)
    purge(bob, pair[1][0])
    job.refresh_from_db()
    assert job.state == Job.State.FAILED
    assert SECRET not in stored(job)
    garbage.collect_garbage()
    with pytest.raises(AppError):
        retry_job(user=ada, job=job)


def test_purging_takes_prompts_and_answers_out_of_previews(pair: Members, ada: User, bob: User, client: Any) -> None:
    job = end(start("merge_preview", ada, pair), answers())
    blob_store().put_document(f"results/{job.pk}/1", b"answers")
    assert [bool(row["prompt"]) for row in previews.rows_of(job)] == [True, True, True]
    delete_adapter(user=bob, adapter=pair[1][0])
    purge_adapter(user=bob, adapter=pair[1][0])
    job.refresh_from_db()
    assert f"{SECRET} 1" not in stored(job)
    assert job.request["prompts"] == ["plural: cat 0", "", "of my own"]
    assert [row["answers"][0]["text"] == "" for row in previews.rows_of(job)] == [False, True, False]
    client.force_login(ada)
    page = client.get(f"/combine/previews/{job.pk}").content.decode()
    assert page.count("is no longer kept") == 1


@pytest.mark.parametrize("way", ["deleted", "private", "replaced"])
def test_quoted_prompts_go_with_the_right_to_see_them(
    way: str, pair: Members, ada: User, bob: User, django_capture_on_commit_callbacks: Any
) -> None:
    job = end(start("merge_preview", ada, pair), answers())
    assert forget_examples() == 0
    with django_capture_on_commit_callbacks(execute=True):
        if way == "deleted":
            delete_adapter(user=bob, adapter=pair[1][0])
        elif way == "private":
            Adapter.objects.filter(pk=pair[1][0].pk).update(visibility="private")
        else:
            edit_adapter(user=bob, adapter=pair[1][0], examples=[("past: other", "y")])
    assert forget_examples() == (way != "replaced"), "a change of the adapter is followed at once"
    job.refresh_from_db()
    assert job.request["prompts"] == ["plural: cat 0", "", "of my own"]
    assert forget_examples() == 0
    if way == "deleted":
        restore_adapter(user=bob, adapter=pair[1][0])
        job.refresh_from_db()
        assert job.request["prompts"][1] == "", "it is gone"


def test_what_is_left_of_the_prompts_is_asked_again(pair: Members, ada: User, bob: User) -> None:
    job = previews.create_preview(user=ada, members=pair, method="lego", prompts=[f" {SECRET} 0\n"])
    cancel_job(user=ada, job=job)
    pair[1][0].examples.all().delete()
    with pytest.raises(Conflict, match="no longer yours to see"):
        retry_job(user=ada, job=job)


def test_examples_written_for_a_sweep_stay_unless_they_are_others(pair: Members, ada: User, bob: User) -> None:
    own = [{"prompt": "mine", "expected": "a"}, {"prompt": f"{SECRET} 0", "expected": "b"}]
    job = sweeps.create_sweep(
        user=ada, members=pair, axes=sweeps.Axes(ranks=[2]), asked=sweeps.Asked(examples=own), method="lego"
    )
    end(job)
    assert [row["prompt"] for row in job.request["suite"]["examples"]] == ["mine", f"{SECRET} 0"]
    pair[1][0].examples.all().delete()
    assert forget_examples() == 1
    job.refresh_from_db()
    assert [row["prompt"] for row in job.request["suite"]["examples"]] == ["mine"]
    again = MergeSweepRequest.model_validate(retry_job(user=ada, job=job).request)
    assert [row.prompt for row in again.suite.examples] == ["mine"]


def test_a_suite_that_was_closed_is_not_replayed(pair: Members, ada: User, bob: User) -> None:
    suite = create_suite(user=bob, name="S", lines='{"prompt": "riddle", "expected": "b"}', visibility="public")
    asked = sweeps.Asked(suite=str(suite.pk))
    job = sweeps.create_sweep(user=ada, members=pair, axes=sweeps.Axes(ranks=[2]), asked=asked, method="lego")
    assert "riddle" in stored(job)
    cancel_job(user=ada, job=job)
    assert "riddle" not in stored(job)
    retried = retry_job(user=ada, job=job)
    assert "riddle" in stored(retried)
    cancel_job(user=ada, job=retried)
    edit_suite(user=bob, suite=suite, visibility="private")
    with pytest.raises(NotFound):
        retry_job(user=ada, job=retried)


def test_jobs_of_earlier_versions_let_go_as_well(pair: Members, ada: User) -> None:
    job = start("merge_sweep", ada, pair)
    Job.objects.filter(pk=job.pk).update(
        state="failed", subject={key: value for key, value in job.subject.items() if key != "suite"}
    )
    assert SECRET in stored(job)
    forget_examples()
    assert SECRET not in stored(job)
    with pytest.raises(Conflict, match="Ask for a new sweep"):
        retry_job(user=ada, job=Job.objects.get(pk=job.pk))


@pytest.mark.parametrize("changed", [False, True])
def test_points_measured_on_other_examples_are_measured_anew(changed: bool, pair: Members, ada: User) -> None:
    job = start("merge_sweep", ada, pair)
    cancel_job(user=ada, job=job)
    name = partial_name(str(job.pk))
    blob_store().put_document(name, b"cells")
    if changed:
        pair[0][0].examples.filter(position=0).update(expected="y")
    with TestCase.captureOnCommitCallbacks(execute=True):
        retried = retry_job(user=ada, job=Job.objects.get(pk=job.pk))
    assert (blob_store().get_document(name) is None) == changed
    assert end(retried).request["suite"]["examples"] == []
    retry_job(user=ada, job=retried)
    assert SECRET in stored(job), "as often as it is tried"
