"""From a row to a worker: the plan goes into the blob store, a hint ``(job, attempt)`` into the broker.

A plan's existence is the permission to run it: plans of ended jobs and of older attempts are deleted, so a late or
doubled hint finds nothing to do.
"""

from __future__ import annotations

import redis
import structlog
from kombu.exceptions import OperationalError as BrokerError

from inference_worker.contracts import keys
from inference_worker.contracts.jobs import JobPlan, plan_name
from inference_worker.errors import StorageFull
from marketplace.celery import app
from marketplace.core.redis import redis_client
from marketplace.core.store import blob_store
from marketplace.jobs import recorders
from marketplace.jobs.models import Job

log = structlog.get_logger(__name__)

RUN_JOB = "inference_worker.run_job"
#: Of a message in its queue (Kombu's steps on Redis, lower comes first): a worker takes from no queue what comes by
#: itself while a person waits in any.
FIRST, BEHIND = 0, 9

#: What the outside world does to us. The job stays queued and the reaper tries again.
OUTSIDE_FAULTS = (StorageFull, OSError, BrokerError, redis.RedisError)


def plan_of(job: Job) -> JobPlan:
    return JobPlan(
        job=str(job.pk),
        attempt=job.attempt,
        kind=job.kind,
        request=job.request,
        limits=job.limits,
        request_id=job.request_id,
    )


def dispatch(job: Job) -> bool:
    """Write the plan and send the hint; call it after the commit. False: not now, the reaper will try again."""
    try:
        blob_store().put_document(plan_name(str(job.pk), job.attempt), plan_of(job).model_dump_json().encode())
        send_hint(job)
    except OUTSIDE_FAULTS as error:
        log.warning("job_not_dispatched", job=str(job.pk), attempt=job.attempt, fault=repr(error))
        return False
    log.info("job_dispatched", job=str(job.pk), attempt=job.attempt, kind=job.kind, queue=job.queue)
    notify(str(job.pk))
    return True


def send_hint(job: Job) -> None:
    """Tell the workers of the job's queue. Raises ``OUTSIDE_FAULTS``."""
    priority = BEHIND if recorders.comes_by_itself(job) else FIRST
    app.send_task(RUN_JOB, args=[str(job.pk), job.attempt], queue=job.queue, priority=priority, ignore_result=True)


def send_ahead(job: Job) -> None:
    """A second hint for a job that somebody waits for by now; the one that finds the attempt claimed does nothing. Call
    it after the commit."""
    try:
        send_hint(job)
    except OUTSIDE_FAULTS as error:
        log.warning("job_not_hurried", job=str(job.pk), attempt=job.attempt, fault=repr(error))


def withdraw(job: str, attempt: int) -> None:
    """Delete the plan, so that no hint can start this attempt any more."""
    try:
        blob_store().delete_document(plan_name(job, attempt))
    except OSError as error:
        log.warning("plan_not_deleted", job=job, attempt=attempt, fault=repr(error))


def request_stop(job: str, attempt: int) -> None:
    """Raise the flag at which the worker ends the attempt's process."""
    try:
        redis_client().set(keys.job_cancel(job, attempt), "1", ex=keys.CANCEL_LIFETIME)
    except redis.RedisError as error:
        log.warning("stop_not_requested", job=job, attempt=attempt, fault=repr(error))
    notify(job)


def notify(job: str) -> None:
    """Wake whoever watches this job."""
    try:
        redis_client().publish(keys.job_channel(job), "")
    except redis.RedisError as error:
        log.warning("watchers_not_notified", job=job, fault=repr(error))
