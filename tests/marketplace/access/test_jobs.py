"""What somebody lost the right to is stopped: waiting and running merges, at the claim and after a revocation."""

from __future__ import annotations

from typing import Any

import pytest

from inference_worker.contracts import keys
from marketplace.accounts.models import User
from marketplace.adapters.models import AccessRequest, Adapter
from marketplace.adapters.services import accept_transfer, delete_adapter, offer_transfer
from marketplace.adapters.services.access import answer_request, withdraw_request
from marketplace.adapters.services.collaborators import add_collaborator, remove_collaborator
from marketplace.compositions.services import create_merge
from marketplace.core.errors import Forbidden
from marketplace.core.redis import redis_client
from marketplace.jobs import checking, recorders, tasks
from marketplace.jobs.models import Job
from marketplace.moderation.blocking import block_digest
from marketplace.playground.services import start_generation

pytestmark = pytest.mark.django_db


@pytest.fixture
def merge(gated: Adapter, make_adapter: Any, bob: User) -> Job:
    """Bob was approved and merges the gated adapter with one of his own."""
    AccessRequest.objects.create(adapter=gated, user=bob, state="approved")
    own = make_adapter(bob, "own", base="m1")
    return create_merge(user=bob, name="mix", members=[(gated, 1.0), (own, 1.0)], method="cat")


def _state(job: Job) -> tuple[str, str]:
    job.refresh_from_db()
    return job.state, job.error_code


def test_revoking_stops_a_waiting_merge(merge: Job, gated: Adapter, ada: User, bob: User) -> None:
    assert checking.recheck_jobs() == 0
    answer_request(user=ada, adapter=gated, asker=bob, approve=False)
    assert checking.recheck_jobs([ada.pk]) == 0, "not his"
    assert checking.recheck_jobs([bob.pk]) == 1
    assert _state(merge) == ("failed", "access_required")
    assert "/ada/poems/access" in merge.error_message


def test_revoking_stops_a_running_merge(
    merge: Job, gated: Adapter, ada: User, bob: User, django_capture_on_commit_callbacks: Any
) -> None:
    Job.objects.update(state="running")
    withdraw_request(user=bob, adapter=gated)
    with django_capture_on_commit_callbacks(execute=True):
        assert tasks.recheck_jobs([bob.pk]) == 1
    assert _state(merge) == ("failed", "access_required")
    assert redis_client().exists(keys.job_cancel(str(merge.pk), merge.attempt)), "its worker is told to stop"


def test_a_check_that_breaks_stops_no_other(
    merge: Job, gated: Adapter, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = create_merge(user=bob, name="more", members=[(gated, 1.0)], method="cat")
    AccessRequest.objects.all().delete()
    check = recorders.check

    def breaks_once(job: Job) -> None:
        if job.pk == first:
            raise KeyError("a subject of another release")
        check(job)

    first = Job.objects.exclude(state__in=Job.ENDED).values_list("pk", flat=True)[0]
    monkeypatch.setattr(recorders, "check", breaks_once)
    assert checking.recheck_jobs() == 1
    assert sorted(_state(job)[0] for job in (merge, later)) == ["failed", "queued"]


def test_deleting_stops_what_rests_on_it(
    merge: Job, gated: Adapter, ada: User, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks() as later:
        delete_adapter(user=ada, adapter=gated)
    assert _asks_again(later)
    assert checking.recheck_jobs() == 1


def test_a_handover_stops_what_the_sender_may_no_longer(
    make_adapter: Any, ada: User, bob: User, django_capture_on_commit_callbacks: Any
) -> None:
    adapter = make_adapter(ada, "secret", visibility="private", base="m1")
    job = create_merge(user=ada, name="mix", members=[(adapter, 1.0)], method="cat")
    offer = offer_transfer(user=ada, adapter=adapter, receiver="bob")
    with django_capture_on_commit_callbacks() as later:
        accept_transfer(user=bob, transfer=offer)
    assert _asks_again(later)
    assert checking.recheck_jobs([ada.pk]) == 1
    assert _state(job)[0] == "failed"


def test_blocked_bytes_stop_what_rests_on_them(
    merge: Job, gated: Adapter, moderator: User, django_capture_on_commit_callbacks: Any
) -> None:
    version = gated.current
    assert version is not None
    version.files.create(path="adapter_model.safetensors", blob=version.artifact.weights_blob)
    with django_capture_on_commit_callbacks() as later:
        block_digest(moderator=moderator, sha256=version.artifact.weights_blob_id, reason="Malware.")
    assert _asks_again(later)
    assert checking.recheck_jobs() == 1


def _asks_again(callbacks: list[Any]) -> bool:
    """Whether jobs are checked after the commit."""
    return any(getattr(call, "args", ())[:1] == (checking.TASK,) for call in callbacks)


def test_a_claim_is_refused(merge: Job, gated: Adapter) -> None:
    AccessRequest.objects.all().delete()
    assert tasks.record_started(str(merge.pk), merge.attempt)
    assert _state(merge) == ("failed", "access_required")


def test_a_claim_that_is_allowed_goes_on(merge: Job) -> None:
    assert tasks.record_started(str(merge.pk), merge.attempt)
    assert _state(merge) == ("running", "")


def test_suspended_owners_merges_of_private_parents_stop(merge: Job, bob: User) -> None:
    bob.is_active = False
    bob.save()
    assert checking.recheck_jobs() == 1


def test_a_collaborator_who_leaves_loses_use(gated: Adapter, ada: User, bob: User, make_adapter: Any) -> None:
    add_collaborator(user=ada, adapter=gated, username="bob", role="read")
    job = create_merge(user=bob, name="mix", members=[(gated, 1.0)], method="cat")
    remove_collaborator(user=bob, adapter=gated, username="bob")
    assert checking.recheck_jobs([bob.pk]) == 1
    assert _state(job) == ("failed", "access_required")
    with pytest.raises(Forbidden) as raised:
        start_generation(user=bob, prompt="x", members=[(gated, 1.0)])
    assert raised.value.code == "access_required"
