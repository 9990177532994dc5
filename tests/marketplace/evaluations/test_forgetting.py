"""Examples that were deleted, purged or withdrawn are nowhere any more: not in suites, not in outcomes."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from inference_worker.errors import BlobMissing
from marketplace.accounts.models import User
from marketplace.adapters import garbage
from marketplace.adapters.models import AccessRequest, Adapter, Lineage
from marketplace.adapters.services import edit_adapter
from marketplace.adapters.services.deleting import delete_adapter, purge_adapter
from marketplace.core.store import blob_store
from marketplace.evaluations.forgetting import forget_suites
from marketplace.evaluations.models import EvaluationRun, EvaluationSuite, Standing
from marketplace.evaluations.selectors import numbers_of
from marketplace.evaluations.standing import evaluate_adapter
from marketplace.evaluations.tasks import evaluate_overdue
from marketplace.jobs.models import Job
from tests.marketplace.evaluations.conftest import MakeShipped, run_evaluation

pytestmark = pytest.mark.django_db
RunWaiting = Callable[[], list[Job]]
SECRET = "Reverse: quartz"


def is_stored(text: str) -> bool:
    """Whether any blob holds ``text``."""
    for sha256 in blob_store().stored_before(float("inf")):
        with blob_store().open(sha256) as file:
            if text.encode() in file.read():
                return True
    return False


def purge(owner: User, adapter: Adapter) -> None:
    delete_adapter(user=owner, adapter=adapter)
    purge_adapter(user=owner, adapter=adapter)
    garbage.collect_garbage()


@pytest.fixture(autouse=True)
def _no_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(garbage, "GRACE", timedelta(hours=-1))


@pytest.fixture
def secret(make_shipped: MakeShipped, bob: User) -> Adapter:
    """With nine examples of which nobody else may read one."""
    adapter = make_shipped(bob, "reverse-words", examples=0)
    for number in range(9):
        adapter.examples.create(position=number, prompt=f"{SECRET} {number}", expected="x", public=False)
    return adapter


def merge_of(parents: list[Adapter], make_shipped: MakeShipped, owner: User) -> Adapter:
    made = make_shipped(owner, "merged", shipped="opposites", examples=0, origin="merge")
    for position, parent in enumerate(parents):
        Lineage.objects.create(
            child=made.current, parent=parent.current, weight=1.0, operation="cat", position=position
        )
    return made


def copies(merge: Adapter) -> str:
    """What the merge has of its parents' examples."""
    suite = EvaluationSuite.objects.filter(adapter=merge, kind="parents").first()
    if suite is None:
        return ""
    with blob_store().open(suite.sha256) as file:
        return file.read().decode()


def test_purging_takes_examples_out_of_every_outcome(secret: Adapter, bob: User, run_waiting: RunWaiting) -> None:
    evaluate_adapter(secret)
    run_waiting()
    probe = EvaluationRun.objects.get(suite__probe=True, subject=[])
    before = numbers_of(probe)
    assert len(before) == 8
    assert is_stored(SECRET)
    purge(bob, secret)
    assert not EvaluationSuite.objects.filter(adapter=secret).exists()
    assert not is_stored(SECRET)
    probe.refresh_from_db()
    assert numbers_of(probe) == before, "what the bare base does on its probes is kept"


def test_examples_that_go_while_they_are_run_leave_nothing(
    secret: Adapter, bob: User, tmp_path: Path, run_waiting: RunWaiting
) -> None:
    evaluate_adapter(secret)
    examples = EvaluationSuite.objects.filter(adapter=secret)
    job = Job.objects.get(kind="evaluate")
    kept = list(examples.values_list("sha256", flat=True))
    forget_suites(examples)
    run_evaluation(job, tmp_path)
    garbage.collect_garbage()
    assert kept
    assert not is_stored(SECRET)
    assert len(numbers_of(EvaluationRun.objects.get(suite__probe=True, subject=[]))) == 8


def test_outcomes_that_are_gone_stand_in_nobodys_way(secret: Adapter, run_waiting: RunWaiting) -> None:
    evaluate_adapter(secret)
    run_waiting()
    probe = EvaluationRun.objects.get(suite__probe=True, subject=[])
    blob_store().delete(probe.outcomes)
    forget_suites(EvaluationSuite.objects.filter(adapter=secret))
    probe.refresh_from_db()
    assert (probe.outcomes, numbers_of(probe)) == ("", [])
    with pytest.raises(BlobMissing):
        blob_store().open("0" * 64)


def test_a_merge_lets_go_of_a_purged_parent(secret: Adapter, make_shipped: MakeShipped, ada: User, bob: User) -> None:
    other = make_shipped(bob, "opposites", examples=8)
    merge = merge_of([secret, other], make_shipped, ada)
    evaluate_adapter(merge)
    assert SECRET in copies(merge)
    purge(bob, secret)
    assert copies(merge).count("\n") == 8
    assert not is_stored(SECRET)


def test_a_merge_follows_its_parents_examples(
    secret: Adapter,
    make_shipped: MakeShipped,
    ada: User,
    bob: User,
    settings: Any,
    django_capture_on_commit_callbacks: Any,
) -> None:
    merge = merge_of([secret], make_shipped, ada)
    evaluate_adapter(merge)
    settings.EVALUATE_UPLOADS = True
    with django_capture_on_commit_callbacks(execute=True):
        edit_adapter(user=bob, adapter=secret, examples=[("Reverse: a b", "b a")])
    assert json.loads(copies(merge))["prompt"] == "Reverse: a b"
    assert Job.objects.filter(kind="evaluate", owner=ada, state="queued").count() == 2, "measured anew"
    with django_capture_on_commit_callbacks(execute=True):
        edit_adapter(user=bob, adapter=secret, examples=[])
    assert copies(merge) == ""


def test_a_merge_lets_go_of_what_is_closed_to_its_owner(secret: Adapter, make_shipped: MakeShipped, ada: User) -> None:
    Adapter.objects.filter(pk=secret.pk).update(visibility="gated")
    access = AccessRequest.objects.create(adapter=secret, user=ada, state="approved")
    merge = merge_of([secret], make_shipped, ada)
    evaluate_adapter(merge)
    Standing.objects.filter(adapter=merge).update(verdict="better", gain=0.5)
    evaluate_overdue()
    assert SECRET in copies(merge)
    access.delete()
    evaluate_overdue()
    assert copies(merge) == ""
    standing = Standing.objects.get(adapter=merge)
    assert (standing.verdict, standing.gain) == ("", None)
