"""Creating, cancelling and retrying jobs."""

from __future__ import annotations

import pytest
from django.db import transaction

from inference_worker.contracts.bases import BaseShapesRequest
from inference_worker.contracts.common import BaseFiles
from inference_worker.contracts.embed import EmbedItem, EmbedRequest
from inference_worker.contracts.jobs import JobPlan, plan_name
from marketplace.accounts.models import User
from marketplace.core.errors import Conflict, Forbidden, TooManyRequests
from marketplace.core.redis import redis_client
from marketplace.core.store import blob_store
from marketplace.jobs import recorders
from marketplace.jobs.models import Job
from marketplace.jobs.services import cancel_job, check_open, create_job, limits_of, retry_job
from marketplace.moderation.models import AuditEntry

pytestmark = pytest.mark.django_db(transaction=True)

REQUEST = EmbedRequest(items=(EmbedItem(key="a", texts=("hello",)),))


def plan_of(job: Job) -> JobPlan | None:
    data = blob_store().get_document(plan_name(str(job.pk), job.attempt))
    return JobPlan.model_validate_json(data) if data else None


def test_create_writes_the_plan_and_one_hint_after_the_commit(ada) -> None:
    with transaction.atomic():
        job = create_job(owner=ada, kind="embed", request=REQUEST, subject={"thing": 1})
        assert plan_of(job) is None
        assert redis_client().llen("embed") == 0
    plan = plan_of(job)
    assert plan is not None
    assert plan.request == REQUEST.model_dump(mode="json")
    assert (plan.attempt, plan.kind, plan.limits.memory_mb) == (1, "embed", 2048)
    assert redis_client().llen("embed") == 1
    assert (job.state, job.attempt, job.queue) == ("queued", 1, "embed")


def test_rolled_back_job_leaves_nothing(ada) -> None:
    with transaction.atomic():
        create_job(owner=ada, kind="embed", request=REQUEST, subject={})
        transaction.set_rollback(True)
    assert Job.objects.count() == 0
    assert redis_client().llen("embed") == 0


def test_same_idempotency_key_returns_the_first_job(ada, make_person) -> None:
    def make(owner: User, key: str | None) -> Job:
        return create_job(owner=owner, kind="embed", request=REQUEST, subject={}, idempotency_key=key)

    first = make(ada, "once")
    with transaction.atomic():
        assert make(ada, "once") == first
    assert make(make_person("bob"), "once") != first
    assert make(ada, None) != make(ada, None)
    assert redis_client().llen("embed") == 4


def test_a_key_belongs_to_one_kind(ada) -> None:
    create_job(owner=ada, kind="embed", request=REQUEST, subject={}, idempotency_key="once")
    other = BaseShapesRequest(base=BaseFiles(name="a", source="b"))
    with pytest.raises(Conflict) as raised:
        create_job(owner=ada, kind="base_shapes", request=other, subject={}, idempotency_key="once")
    assert raised.value.code == "key_taken"


def asked_for(owner: User, key: str | None = None, **subject: object) -> Job:
    with transaction.atomic():
        if known := check_open(owner, "embed", key):
            return known
        return create_job(owner=owner, kind="embed", request=REQUEST, subject=subject, idempotency_key=key)


def test_a_repeated_key_at_the_limit_finds_its_job(ada, make_person, settings) -> None:
    settings.JOBS_OPEN_PER_PERSON = 1
    recorders.limit_open("embed", "texts")
    first = asked_for(ada, "once")
    assert asked_for(ada, "once") == first
    for key in ("twice", None):
        with pytest.raises(TooManyRequests, match="1 texts of yours are under way"):
            asked_for(ada, key)
    assert asked_for(make_person("bob"), "once") != first
    with transaction.atomic(), pytest.raises(Conflict, match="another kind"):
        check_open(ada, "base_shapes", "once")


def test_what_is_tried_again_counts_as_what_is_asked_for(ada, make_person, settings) -> None:
    settings.JOBS_OPEN_PER_PERSON = 1
    recorders.limit_open("embed", "texts", asked=True)
    by_itself = asked_for(ada, asked=False)
    cancel_job(user=ada, job=by_itself)
    other = asked_for(ada, asked=True)
    with pytest.raises(TooManyRequests):
        retry_job(user=ada, job=by_itself)
    by_itself.refresh_from_db()
    assert (by_itself.state, by_itself.attempt) == ("cancelled", 1)
    admin = make_person("root", is_superuser=True, is_staff=True)
    assert retry_job(user=admin, job=by_itself).subject == {"asked": False}, "nobody's request"
    cancel_job(user=ada, job=by_itself)
    cancel_job(user=ada, job=other)
    assert retry_job(user=ada, job=by_itself).subject == {"asked": True}
    with pytest.raises(TooManyRequests):
        retry_job(user=ada, job=other)


def test_wrong_kind_and_wrong_contract_are_bugs(ada) -> None:
    with pytest.raises(ValueError, match="no kind of job 'paint'"):
        create_job(owner=ada, kind="paint", request=REQUEST, subject={})
    wrong = BaseShapesRequest(base=BaseFiles(name="a", source="b"))
    with pytest.raises(TypeError, match="needs a EmbedRequest"):
        create_job(owner=ada, kind="embed", request=wrong, subject={})


def test_operator_sets_limits(settings) -> None:
    settings.JOB_LIMITS = {"merge": {"memory_mb": 123}}
    assert (limits_of("merge").memory_mb, limits_of("merge").seconds) == (123, 3600)


def test_cancel_a_waiting_job(ada, make_job) -> None:
    job = cancel_job(user=ada, job=make_job())
    assert (job.state, plan_of(job)) == ("cancelled", None)
    assert job.finished_at is not None
    assert redis_client().exists(f"job:{job.pk}:1:cancel"), "a worker may hold it already"
    assert cancel_job(user=ada, job=job).state == "cancelled"
    assert AuditEntry.objects.filter(action="job.cancel", target=str(job.pk)).count() == 1


def test_cancel_a_running_job_waits_for_its_worker(ada, make_job) -> None:
    job = cancel_job(user=ada, job=make_job(state="running"))
    assert (job.state, job.cancel_requested, job.message) == ("running", True, "Cancelling")
    assert redis_client().exists(f"job:{job.pk}:1:cancel")


def test_ended_jobs_cannot_be_cancelled_and_open_ones_not_retried(ada, make_job) -> None:
    with pytest.raises(Conflict, match="already succeeded"):
        cancel_job(user=ada, job=make_job(state="succeeded"))
    for state in ("queued", "running", "succeeded"):
        with pytest.raises(Conflict, match=f"is {state}"):
            retry_job(user=ada, job=make_job(state=state))


def test_retry_is_a_new_attempt(ada, make_job) -> None:
    job = retry_job(user=ada, job=make_job(state="failed", attempt=3, error_code="time_limit", error_message="Long."))
    assert (job.state, job.attempt, job.max_attempts, job.error_code) == ("queued", 4, 6, "")
    plan = plan_of(job)
    assert plan is not None
    assert plan.attempt == 4


def test_somebody_elses_job(make_person, make_job) -> None:
    bob = make_person("bob")
    with pytest.raises(Forbidden):
        cancel_job(user=bob, job=make_job())
    with pytest.raises(Forbidden):
        retry_job(user=bob, job=make_job(state="failed"))
