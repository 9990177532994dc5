"""What is pruned, and that nothing goes which a page shows."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from inference_worker.errors import BlobMissing
from marketplace.accounts.models import User
from marketplace.adapters import garbage
from marketplace.adapters.models import Adapter
from marketplace.core.errors import Conflict
from marketplace.core.store import blob_store
from marketplace.evaluations import retention
from marketplace.evaluations.examples import versions_beside
from marketplace.evaluations.models import EvaluationRun, EvaluationSuite
from marketplace.evaluations.retention import Pruned, prune_runs, superseded
from marketplace.evaluations.selectors import numbers_of
from marketplace.evaluations.standing import evaluate_adapter
from marketplace.evaluations.suites import probe_suite
from marketplace.evaluations.tasks import prune_evaluations
from marketplace.jobs.models import Job
from marketplace.jobs.services import retry_job
from marketplace.moderation.models import AuditEntry
from tests.marketplace.evaluations.conftest import MakeShipped, fail_evaluation

pytestmark = pytest.mark.django_db
RunWaiting = Callable[[], list[Job]]
ALL = EvaluationRun.objects.all


@pytest.fixture
def adapter(make_shipped: MakeShipped, ada: User) -> Adapter:
    return make_shipped(ada, "reverse-words")


@pytest.fixture
def suite(adapter: Adapter) -> EvaluationSuite:
    assert adapter.base is not None
    found = probe_suite(adapter.base)
    assert found is not None
    return found


@pytest.fixture
def make_run(adapter: Adapter, suite: EvaluationSuite) -> Callable[..., EvaluationRun]:
    """``make_run(age in days, **fields)``: a measured run of the adapter on the probes."""

    def make(age: int, **fields: Any) -> EvaluationRun:
        at = timezone.now() - timedelta(days=age)
        named = {"key": f"{age}", "subject_digest": "d", "base": adapter.base, "suite": suite, "state": "measured"}
        return EvaluationRun.objects.create(**(named | {"created_at": at, "finished_at": at} | fields))

    return make


def stored(*evaluations: str) -> str:
    return blob_store().put_bytes(json.dumps([{"answers": text} for text in evaluations]).encode()).sha256


def test_the_newest_and_the_young_stay(make_run: Callable[..., EvaluationRun], suite: EvaluationSuite) -> None:
    rows = {age: make_run(age) for age in (400, 300, 200, 100, 10, 5)}
    other = make_run(500, subject_digest="e")
    make_run(350, state="waiting", finished_at=None)
    assert superseded(keep=3, days=90) == {rows[400].pk, rows[300].pk, rows[200].pk}
    assert superseded(keep=3, days=250) == {rows[400].pk, rows[300].pk}
    assert superseded(keep=1, days=0) == {row.pk for age, row in rows.items() if age > 5}
    assert superseded(keep=0, days=0) == superseded(keep=1, days=0), "what is shown is never nothing"
    assert other.pk not in superseded(keep=1, days=0)


def test_failures_make_no_result_go(make_run: Callable[..., EvaluationRun]) -> None:
    measured = make_run(400)
    failed = [make_run(age, state="failed", key=f"f{age}") for age in (300, 200, 100)]
    assert superseded(keep=1, days=0) == {failed[0].pk, failed[1].pk}
    assert measured.pk not in superseded(keep=1, days=0)


def test_what_a_kept_run_was_compared_with_stays(make_run: Callable[..., EvaluationRun]) -> None:
    bare = [make_run(age, subject_digest="bare", key=f"b{age}") for age in (400, 300)]
    newest_bare = make_run(1, subject_digest="bare", key="b1")
    parents = [make_run(age, subject_digest="parent", against=bare[0], key=f"p{age}") for age in (400, 350)]
    make_run(2, subject_digest="parent", against=newest_bare, key="p2")
    merge = make_run(390, subject_digest="merge", against=bare[0], differences={str(parents[0].pk): {}})
    gone = superseded(keep=1, days=0)
    assert merge.pk not in gone
    assert parents[0].pk not in gone, "the merge's page shows it"
    assert bare[0].pk not in gone, "and what both were held against"
    assert gone == {bare[1].pk}, "of each way to measure the base, the newest run beside it stays, too"


def test_what_a_job_under_way_needs_stays(make_run: Callable[..., EvaluationRun], ada: User) -> None:
    old, _ = make_run(400), make_run(1)
    subject = {"runs": [[str(old.pk)]]}
    job = Job.objects.create(owner=ada, kind="evaluate", queue="train", request={}, limits={}, subject=subject)
    assert superseded(keep=1, days=0) == set()
    Job.objects.filter(pk=job.pk).update(state="succeeded")
    assert superseded(keep=1, days=0) == {old.pk}


def test_answers_go_with_their_runs(
    make_run: Callable[..., EvaluationRun], monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    monkeypatch.setattr(garbage, "GRACE", timedelta(hours=-1))
    monkeypatch.setattr(retention, "AT_ONCE", 1)
    shared, alone = stored("old", "of another subject"), stored("older")
    make_run(400, outcomes=alone)
    make_run(300, outcomes=shared, position=0)
    kept = make_run(400, subject_digest="e", outcomes=shared, position=1)
    make_run(1, outcomes=stored("newest"))
    assert prune_runs(keep=1, days=90, dry_run=True) == Pruned(2, 2)
    assert ALL().count() == 4
    settings.EVALUATION_KEEP_RUNS = 1
    assert prune_evaluations() == 2
    assert prune_evaluations() == 0
    kept.refresh_from_db()
    with blob_store().open(kept.outcomes) as file:
        assert json.load(file) == [{"answers": "of another subject"}]
    assert kept.position == 0
    garbage.collect_garbage()
    for sha256 in (shared, alone):
        with pytest.raises(BlobMissing):
            blob_store().open(sha256)
    assert blob_store().has(kept.outcomes)
    entries = AuditEntry.objects.filter(action="evaluation.prune")
    assert [(entry.actor, entry.target) for entry in entries] == [(None, "1 runs"), (None, "1 runs")]


def test_pages_show_the_same_before_and_after(
    make_shipped: MakeShipped, ada: User, client: Client, run_waiting: RunWaiting
) -> None:
    adapter = make_shipped(ada, "plural-nouns")
    first = adapter.current
    evaluate_adapter(adapter)
    run_waiting()
    other = make_shipped(ada, "opposites")
    assert first is not None
    assert other.current is not None
    adapter.versions.create(
        artifact=other.current.artifact, commit="f" * 40, author=ada, prompt_format=first.prompt_format
    )
    adapter.current = adapter.versions.get(commit="f" * 40)
    adapter.save()
    for _ in range(3):
        evaluate_adapter(adapter, again=True)
        run_waiting()
    EvaluationRun.objects.update(created_at=timezone.now() - timedelta(days=400))
    addresses = ["/ada/plural-nouns", "/ada/plural-nouns/evaluations", "/api/v1/adapters/ada/plural-nouns/evaluations/"]

    def seen() -> list[Any]:
        pages = [client.get(address).content for address in addresses[1:]]
        pairs = versions_beside(user=ada, adapter=adapter, before=first, after=adapter.current)
        return [*pages, [(pair.wins, pair.losses, pair.same) for pair in pairs]]

    before, total = seen(), ALL().count()
    assert before[-1], "two versions are compared"
    found = prune_runs(keep=1, days=0)
    assert found.runs > 0
    assert ALL().count() == total - found.runs
    assert seen() == before
    assert all(numbers_of(run) for run in ALL())


def test_the_command_counts_before_it_deletes(make_run: Callable[..., EvaluationRun], capsys: Any) -> None:
    make_run(400), make_run(1)
    call_command("prune_evaluations", "--dry-run", "--keep=1", "--days=0")
    assert capsys.readouterr().out == "Would delete 1 runs; their answers leave 0 blobs.\n"
    assert ALL().count() == 2
    call_command("prune_evaluations", keep=1)
    assert capsys.readouterr().out == "Deleted 1 runs; their answers leave 0 blobs.\n"
    assert ALL().count() == 1
    with pytest.raises(CommandError, match="1 or more"):
        call_command("prune_evaluations", "--keep=0")


def test_a_job_whose_runs_are_gone_is_not_tried_again(adapter: Adapter, ada: User) -> None:
    evaluate_adapter(adapter)
    job = Job.objects.get(kind="evaluate")
    fail_evaluation(job)
    ALL().delete()
    job.refresh_from_db()
    with pytest.raises(Conflict, match="no longer kept"):
        retry_job(user=ada, job=job)
