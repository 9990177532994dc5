"""The only retrier: finds what was lost between the row and the workers, and brings it forward.

An attempt counts as lost when its claim has been missing for two heartbeats, seen by two ticks. After Redis was emptied
or restarted every claim is missing at first, but a living worker renews its own within one heartbeat, so nothing
that runs is taken away.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from datetime import timedelta
from functools import partial

import redis
import structlog
from django.conf import settings
from django.db import DatabaseError, transaction
from django.db.models import Count, Q, QuerySet
from django.utils import timezone

from inference_worker.contracts import keys
from inference_worker.contracts.jobs import JobFault
from marketplace.celery import app
from marketplace.core.redis import lists_of_queue, redis_client
from marketplace.jobs import dispatch
from marketplace.jobs.models import Job
from marketplace.jobs.outcomes import cancel_now, fail_or_retry, record_outcome, record_started, stored_outcome

log = structlog.get_logger(__name__)

#: Jobs of a state, or of a queue, that one tick looks after; the next ticks do the others.
BATCH = 500
#: Columns that may be long and that nothing here reads.
_LONG = ("log", "result", "subject")
LOST_WORKER = JobFault(
    code="lost_worker",
    message="The worker that ran this job went away.",
    retryable=True,
)


def reap() -> dict[str, int]:
    """One tick. Returns what was done, by name, for the log."""
    done: dict[str, int] = defaultdict(int)
    client = redis_client()
    running = Job.objects.filter(state=Job.State.RUNNING).defer(*_LONG, "request")
    for job in running.order_by("started_at")[:BATCH]:
        _guarded(_look_after_running, client, job, done)
    queued = Job.objects.filter(state=Job.State.QUEUED)
    for queue, count in queued.order_by().values_list("queue").annotate(count=Count("pk")):
        # Every waiting job needs one hint. Hints beyond those in the broker were lost, or are held by a busy worker.
        lost = min(count - _hints_in(queue), BATCH)
        if lost > 0:
            for job in _due(queued.filter(queue=queue))[:lost]:
                _guarded(_look_after_queued, client, job, done)
    if done:
        log.info("jobs_reaped", **done)
    return dict(done)


def _due(queued: QuerySet[Job]) -> QuerySet[Job]:
    """Those whose hint was sent so long ago that it may be sent again, the oldest first."""
    stale = timezone.now() - timedelta(seconds=settings.JOB_RESEND_SECONDS)
    due = queued.filter(Q(dispatched_at=None) | Q(dispatched_at__lt=stale))
    return due.defer(*_LONG).order_by("created_at", "id")


def _guarded(look: Callable[..., None], client: redis.Redis, job: Job, done: dict[str, int]) -> None:
    """One job that cannot be looked after must not keep the reaper from the others."""
    try:
        look(client, job, done)
    except (DatabaseError, redis.RedisError):
        raise  # Nothing can be looked after now; the next tick tries again.
    except Exception:
        log.exception("job_not_looked_after", job=str(job.pk), attempt=job.attempt)
        done["faults"] += 1


def _hints_in(queue: str) -> int:
    """How many hints wait in the broker, at every priority. Asked over a connection of its own: the channel's may still
    be waiting for a BRPOP that an earlier user of the pooled connection (a ping of the workers) left behind."""
    with app.connection_or_acquire() as connection, connection.default_channel.conn_or_acquire() as client:
        return sum(int(client.llen(key)) for key in lists_of_queue(queue))


def recover_outcome(job: Job) -> bool:
    """Record the outcome that a worker left in the blob store when its message was lost."""
    outcome = stored_outcome(str(job.pk), job.attempt)
    return outcome is not None and record_outcome(outcome)


def _look_after_running(client: redis.Redis, job: Job, done: dict[str, int]) -> None:
    name, attempt = str(job.pk), job.attempt
    missing = keys.job_missing(name, attempt)
    if client.exists(keys.job_claim(name, attempt)):
        client.delete(missing)
        if job.cancel_requested:  # Redis may have lost the wish.
            dispatch.request_stop(name, attempt)
        return
    if recover_outcome(job):
        done["recovered"] += 1
        return
    beat = settings.JOB_HEARTBEAT_SECONDS
    lifetime = int(10 * (beat + settings.JOB_REAPER_SECONDS)) + 1
    client.set(missing, time.time(), ex=lifetime, nx=True)
    first_seen = float(client.get(missing) or time.time())
    if time.time() - first_seen >= 2 * beat:
        _give_up(job)
        client.delete(missing)
        done["lost"] += 1


def _give_up(job: Job) -> None:
    with transaction.atomic():
        row = Job.objects.select_for_update().filter(pk=job.pk, attempt=job.attempt, state=Job.State.RUNNING).first()
        if row is None:
            return
        log.warning("worker_lost", job=str(row.pk), attempt=row.attempt, max_attempts=row.max_attempts)
        if row.cancel_requested:
            cancel_now(row)
        else:
            fail_or_retry(row, LOST_WORKER)


def _look_after_queued(client: redis.Redis, job: Job, done: dict[str, int]) -> None:
    name, attempt = str(job.pk), job.attempt
    if client.exists(keys.job_claim(name, attempt)):
        if record_started(job_id=name, attempt=attempt):
            done["started"] += 1
        return
    if recover_outcome(job):
        done["recovered"] += 1
        return
    with transaction.atomic():
        resent = Job.objects.filter(pk=job.pk, attempt=attempt, state=Job.State.QUEUED).update(
            dispatched_at=timezone.now()
        )
        if resent:
            transaction.on_commit(partial(dispatch.dispatch, job))
            done["resent"] += 1
