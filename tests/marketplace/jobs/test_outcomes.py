"""What workers report, against the row."""

from __future__ import annotations

import pytest
from django.db import OperationalError

from inference_worker.contracts.jobs import plan_name
from marketplace.accounts.models import User
from marketplace.core.errors import QuotaExceeded
from marketplace.core.redis import redis_client
from marketplace.core.store import blob_store
from marketplace.jobs import recorders
from marketplace.jobs.outcomes import record_outcome, record_started

pytestmark = pytest.mark.django_db(transaction=True)


def test_started_only_from_queued_and_only_this_attempt(make_job) -> None:
    job = make_job()
    assert not record_started(job_id=str(job.pk), attempt=2)
    assert record_started(job_id=str(job.pk), attempt=1)
    assert not record_started(job_id=str(job.pk), attempt=1)
    job.refresh_from_db()
    assert (job.state, job.started_at is not None) == ("running", True)


@pytest.mark.parametrize("state", ["queued", "running"])
def test_success(make_job, make_outcome, state: str) -> None:
    """A result may overtake the word that the job has started."""
    seen = []
    recorders.register("base_shapes")(lambda job, result: seen.append((job.subject, result)))
    job = make_job(state=state)
    assert record_outcome(make_outcome(job))
    job.refresh_from_db()
    assert (job.state, job.result, job.progress, job.peak_memory_mb) == ("succeeded", {"answer": 42}, 1.0, 99)
    assert (job.finished_at - job.started_at).total_seconds() == pytest.approx(2.0, abs=0.01)
    assert [line["message"] for line in job.log] == ["Done."]
    assert seen == [({"thing": 1}, {"answer": 42})]
    assert blob_store().get_document(plan_name(str(job.pk), 1)) is None


def test_second_result_and_older_attempt_change_nothing(make_job, make_outcome) -> None:
    calls = []
    recorders.register("base_shapes")(lambda job, result: calls.append(result))
    job = make_job(state="running", attempt=2)
    assert not record_outcome(make_outcome(job, attempt=1))
    assert record_outcome(make_outcome(job))
    assert not record_outcome(make_outcome(job))
    assert not record_outcome(make_outcome(job, code="late_fault"))
    job.refresh_from_db()
    assert (job.state, len(calls)) == ("succeeded", 1)


def test_recorder_may_add_to_the_result(make_job, make_outcome) -> None:
    @recorders.register("base_shapes")
    def record(job, result) -> None:
        job.result = {**result, "adapter": "ada/new"}

    job = make_job()
    record_outcome(make_outcome(job))
    job.refresh_from_db()
    assert job.result == {"answer": 42, "adapter": "ada/new"}


def test_crashing_recorder_fails_the_job_and_leaves_no_rows(make_job, make_outcome, caplog) -> None:
    failures = []

    @recorders.register("base_shapes")
    def record(job, result) -> None:
        User.objects.create_user("half-done")
        raise ZeroDivisionError("a bug")

    recorders.register_failure("base_shapes")(lambda job: failures.append(job.state))
    job = make_job(state="running")
    assert record_outcome(make_outcome(job))
    job.refresh_from_db()
    assert (job.state, job.error_code, job.result) == ("failed", "recorder_failed", None)
    assert str(job.pk) in job.error_message
    assert not User.objects.filter(username="half-done").exists()
    assert failures == ["failed"]
    assert "ZeroDivisionError" in caplog.text


def test_refusing_recorder_fails_the_job_in_its_own_words(make_job, make_outcome) -> None:
    @recorders.register("base_shapes")
    def record(job, result) -> None:
        raise QuotaExceeded("Your space is full.")

    job = make_job()
    record_outcome(make_outcome(job))
    job.refresh_from_db()
    assert (job.state, job.error_code, job.error_message) == ("failed", "quota_exceeded", "Your space is full.")


def test_lost_database_is_raised_and_the_row_stays_open(make_job, make_outcome) -> None:
    @recorders.register("base_shapes")
    def record(job, result) -> None:
        raise OperationalError("the connection is closed")

    job = make_job(state="running")
    with pytest.raises(OperationalError):
        record_outcome(make_outcome(job))
    job.refresh_from_db()
    assert job.state == "running"


def test_failure_of_the_users_data(make_job, make_outcome) -> None:
    failures = []
    recorders.register_failure("base_shapes")(lambda job: failures.append((job.state, job.error_code)))
    job = make_job(state="running")
    record_outcome(make_outcome(job, code="bases_differ"))
    job.refresh_from_db()
    assert (job.state, job.error_code, job.error_message, job.attempt) == (
        "failed",
        "bases_differ",
        "It went wrong.",
        1,
    )
    assert failures == [("failed", "bases_differ")]


def test_failing_failure_recorder_does_not_keep_the_job_open(make_job, make_outcome) -> None:
    @recorders.register_failure("base_shapes")
    def record(job) -> None:
        raise KeyError("bug")

    job = make_job(state="running")
    record_outcome(make_outcome(job, code="bases_differ"))
    job.refresh_from_db()
    assert job.state == "failed"


def test_passing_fault_is_tried_again_until_attempts_are_used_up(make_job, make_outcome) -> None:
    job = make_job(state="running")
    for attempt in (1, 2):
        assert record_outcome(make_outcome(job, code="killed", retryable=True))
        job.refresh_from_db()
        assert (job.state, job.attempt, job.error_code) == ("queued", attempt + 1, "")
        assert blob_store().get_document(plan_name(str(job.pk), attempt)) is None
        assert blob_store().get_document(plan_name(str(job.pk), attempt + 1)) is not None
        assert f"attempt {attempt + 1}" in job.message
    record_outcome(make_outcome(job, code="killed", retryable=True))
    job.refresh_from_db()
    assert (job.state, job.error_code) == ("failed", "killed")
    assert [line["message"] for line in job.log] == ["Done."] * 3
    assert redis_client().llen("embed") == 3


def test_stopped_worker_does_not_use_up_an_attempt(make_job, make_outcome) -> None:
    job = make_job(state="running", attempt=3, max_attempts=3)
    record_outcome(make_outcome(job, code="worker_stopped", retryable=True))
    job.refresh_from_db()
    assert (job.state, job.attempt, job.max_attempts) == ("queued", 4, 4)


def test_cancel_beats_a_result_that_comes_later(make_job, make_outcome) -> None:
    """Who was told that the job is being cancelled does not find its result."""
    calls = []
    recorders.register("base_shapes")(lambda job, result: calls.append("success"))
    recorders.register_failure("base_shapes")(lambda job: calls.append(job.state))
    for outcome in ({}, {"cancelled": True}, {"code": "killed", "retryable": True}):
        job = make_job(state="running", cancel_requested=True)
        assert record_outcome(make_outcome(job, **outcome))
        job.refresh_from_db()
        assert (job.state, job.result) == ("cancelled", None)
    assert calls == ["cancelled"] * 3


def test_two_recorders_for_one_kind_are_refused() -> None:
    recorders.register("base_shapes")(lambda job, result: None)
    with pytest.raises(ValueError, match="Two recorders"):
        recorders.register("base_shapes")(lambda job, result: None)
