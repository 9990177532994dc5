"""What the reaper does about lost claims, lost hints and lost results."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from inference_worker.contracts import keys
from inference_worker.contracts.jobs import result_name
from marketplace.core.redis import redis_client
from marketplace.core.store import blob_store
from marketplace.jobs import reaper
from marketplace.jobs.garbage import collect_documents

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch):
    """Moves the reaper's clock forward, by seconds."""
    real = reaper.time.time
    shift = [0.0]
    monkeypatch.setattr(reaper.time, "time", lambda: real() + shift[0])

    def move(seconds: float) -> None:
        shift[0] += seconds

    return move


def claim(job) -> None:
    redis_client().set(keys.job_claim(str(job.pk), job.attempt), "worker", ex=60)


def test_living_worker_is_left_alone(make_job, later) -> None:
    job = make_job(state="running")
    claim(job)
    for _ in range(3):
        assert reaper.reap() == {}
        later(60)
    job.refresh_from_db()
    assert (job.state, job.attempt) == ("running", 1)


def test_missing_claim_is_believed_after_two_heartbeats(make_job, later, settings) -> None:
    job = make_job(state="running")
    assert reaper.reap() == {}
    later(2 * settings.JOB_HEARTBEAT_SECONDS - 0.5)
    assert reaper.reap() == {}
    later(1)
    assert reaper.reap() == {"lost": 1}
    job.refresh_from_db()
    assert (job.state, job.attempt) == ("queued", 2)


def test_claim_that_comes_back_starts_the_count_anew(make_job, later) -> None:
    """Redis was emptied; the worker's next heartbeat restores its claim."""
    job = make_job(state="running")
    reaper.reap()
    claim(job)
    reaper.reap()
    redis_client().delete(keys.job_claim(str(job.pk), 1))
    later(60)
    assert reaper.reap() == {}


def test_lost_for_good_after_all_attempts(make_job, later) -> None:
    job = make_job(state="running", attempt=3)
    reaper.reap()
    later(60)
    assert reaper.reap() == {"lost": 1}
    job.refresh_from_db()
    assert (job.state, job.error_code) == ("failed", "lost_worker")


def test_cancelled_job_of_a_lost_worker_is_cancelled(make_job, later) -> None:
    job = make_job(state="running", cancel_requested=True)
    reaper.reap()
    later(60)
    reaper.reap()
    job.refresh_from_db()
    assert job.state == "cancelled"


def test_wish_to_cancel_is_renewed(make_job) -> None:
    job = make_job(state="running", cancel_requested=True)
    claim(job)
    reaper.reap()
    assert redis_client().exists(keys.job_cancel(str(job.pk), 1))


@pytest.mark.parametrize("state", ["queued", "running"])
def test_result_whose_message_was_lost(make_job, make_outcome, state: str) -> None:
    old = timezone.now() - timedelta(minutes=5)
    job = make_job(state=state, dispatched_at=old)
    redis_client().flushall()
    document = make_outcome(job).model_dump_json().encode()
    blob_store().put_document(result_name(str(job.pk), 1), document)
    assert reaper.reap() == {"recovered": 1}
    job.refresh_from_db()
    assert job.state == "succeeded"


def test_unreadable_result_fails_its_job_and_no_other(make_job, make_outcome) -> None:
    broken, fine = make_job(state="running"), make_job(state="running")
    blob_store().put_document(result_name(str(broken.pk), 1), b'{"from": "another version"}')
    blob_store().put_document(result_name(str(fine.pk), 1), make_outcome(fine).model_dump_json().encode())
    assert reaper.reap() == {"recovered": 2}
    broken.refresh_from_db()
    fine.refresh_from_db()
    assert (broken.state, broken.error_code, fine.state) == ("failed", "outcome_unreadable", "succeeded")


def test_lost_hints_are_sent_again_and_not_doubled(make_job) -> None:
    old = timezone.now() - timedelta(minutes=5)
    jobs = [make_job(dispatched_at=old) for _ in range(3)]
    assert redis_client().llen("embed") == 3
    assert reaper.reap() == {}, "every waiting job has its hint"
    redis_client().flushall()
    assert reaper.reap() == {"resent": 3}
    assert redis_client().llen("embed") == 3
    assert reaper.reap() == {}
    redis_client().lpop("embed")
    assert reaper.reap() == {}, "sent a moment ago"
    for job in jobs:
        job.refresh_from_db()
        assert job.attempt == 1


def test_claimed_job_whose_start_was_not_told(make_job) -> None:
    job = make_job(dispatched_at=timezone.now() - timedelta(minutes=5))
    redis_client().delete("embed")
    claim(job)
    assert reaper.reap() == {"started": 1}
    job.refresh_from_db()
    assert job.state == "running"


def test_documents_go_a_week_after_the_end(make_job, make_outcome) -> None:
    week = timezone.now() - timedelta(days=8)
    old = make_job(state="succeeded", finished_at=week)
    new = make_job(state="failed", finished_at=timezone.now())
    running = make_job(state="running")
    for job in (old, new, running):
        blob_store().put_document(result_name(str(job.pk), 1), b"{}")
    assert collect_documents() >= 1
    kept = [blob_store().get_document(result_name(str(job.pk), 1)) for job in (old, new, running)]
    assert kept == [None, b"{}", b"{}"]
    old.refresh_from_db()
    assert old.state == "succeeded", "rows are kept"


def test_a_tick_is_bounded_and_reads_no_long_columns(
    make_job, monkeypatch, django_assert_max_num_queries, settings
) -> None:
    """Many waiting jobs whose hints lie in the broker cost a tick one count, not a row each."""
    for _ in range(6):
        make_job()
    with django_assert_max_num_queries(2) as asked:
        assert reaper.reap() == {}
    assert not any('"log"' in query["sql"] for query in asked.captured_queries)
    redis_client().flushall()
    settings.JOB_RESEND_SECONDS = 0.0
    monkeypatch.setattr(reaper, "BATCH", 4)
    assert reaper.reap() == {"resent": 4}
