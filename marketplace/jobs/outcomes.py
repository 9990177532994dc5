"""What workers report, compared with the row and set: a second result, or one of an older attempt, changes nothing."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from functools import partial

import structlog
from django.db import InterfaceError, OperationalError, transaction
from django.utils import timezone
from pydantic import ValidationError

from inference_worker.contracts.jobs import JobFault, JobOutcome, result_name
from marketplace.core.errors import AppError
from marketplace.core.plain_text import storable
from marketplace.core.store import blob_store
from marketplace.jobs import dispatch, recorders
from marketplace.jobs.models import Job

log = structlog.get_logger(__name__)

LOG_LINES = 500
WORKER_STOPPED = "worker_stopped"
_OPEN = (Job.State.QUEUED, Job.State.RUNNING)


def _time(seconds: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(seconds, tz=dt.UTC)


def record_started(*, job_id: str, attempt: int) -> bool:
    """A worker has claimed the attempt. False when the row has moved on."""
    started = Job.objects.filter(pk=job_id, attempt=attempt, state=Job.State.QUEUED).update(
        state=Job.State.RUNNING, started_at=timezone.now(), message=""
    )
    if started:
        dispatch.notify(job_id)
    return bool(started)


def stored_outcome(job_id: str, attempt: int) -> JobOutcome | None:
    """What a worker left in the blob store; a document that cannot be read is a failure like any other."""
    data = blob_store().get_document(result_name(job_id, attempt))
    if data is None:
        return None
    try:
        return JobOutcome.model_validate_json(data)
    except ValidationError:
        log.exception("outcome_unreadable", job=job_id, attempt=attempt)
        now = time.time()
        fault = JobFault(
            code="outcome_unreadable",
            message="The worker's answer cannot be read; worker and marketplace may be of different versions.",
        )
        return JobOutcome(job=job_id, attempt=attempt, status="failed", fault=fault, started_at=now, finished_at=now)


def record_outcome(outcome: JobOutcome) -> bool:
    """End (or requeue) the job as the worker reports. False when the row has moved on and the report is void.

    The kind's recorder runs in the same transaction. A lost database is raised: the outcome stays in the blob store
    and the reaper comes back for it.
    """
    # What a worker quotes from a file may hold characters that no database stores; such a job must end all the same.
    outcome = JobOutcome.model_validate(storable(outcome.model_dump()))
    with transaction.atomic():
        job = (
            Job.objects.select_for_update(of=("self",))
            .select_related("owner")
            .filter(pk=outcome.job, attempt=outcome.attempt, state__in=_OPEN)
            .first()
        )
        if job is None:
            log.info("outcome_ignored", job=outcome.job, attempt=outcome.attempt, status=outcome.status)
            return False
        job.started_at = _time(outcome.started_at)
        job.finished_at = _time(outcome.finished_at)
        job.peak_memory_mb = max(job.peak_memory_mb, outcome.peak_memory_mb)
        job.log = [*job.log, *(line.model_dump() for line in outcome.log)][-LOG_LINES:]
        _apply(job, outcome)
    log.info("outcome_recorded", job=outcome.job, attempt=outcome.attempt, state=job.state, code=job.error_code)
    return True


def _apply(job: Job, outcome: JobOutcome) -> None:
    if job.cancel_requested or outcome.status == "cancelled":
        cancel_now(job)
    elif outcome.status == "succeeded":
        _succeed(job, outcome)
    else:
        fail_or_retry(job, outcome.fault or JobFault(code="internal_error", message="The job failed without a reason."))


def _succeed(job: Job, outcome: JobOutcome) -> None:
    result = outcome.result or {}
    job.state, job.result = Job.State.SUCCEEDED, result
    job.progress, job.message = 1.0, ""
    job.error_code = job.error_message = ""
    fault = _guarded(job, partial(recorders.record_success, job, result))
    if fault is not None:
        job.result, job.progress = None, 0.0
        fail(job, fault)
        return
    job.save()
    transaction.on_commit(partial(_after_end, job))


def _guarded(job: Job, recorder: Callable[[], None]) -> JobFault | None:
    """Run a recorder in a savepoint; what it raises becomes the job's fault, its writes are taken back."""
    try:
        with transaction.atomic():
            recorder()
    except AppError as error:
        return JobFault(code=error.code, message=error.message, extra=error.extra)
    except (OperationalError, InterfaceError):
        raise  # The database is gone, not the recorder wrong.
    except Exception:  # A recorder that is wrong must end its job, not leave it open.
        log.exception("recorder_failed", job=str(job.pk), kind=job.kind, attempt=job.attempt)
        return JobFault(
            code="recorder_failed",
            message="The work was done, but its result could not be recorded. Try again; if it fails again, tell "
            f"the operator the job's number {job.pk}.",
        )
    return None


def fail_or_retry(job: Job, fault: JobFault) -> None:
    """A fault that may pass gets a new attempt while there are any left; every other one ends the job.

    A worker that was stopped in an orderly way does not use up an attempt.
    """
    if fault.code == WORKER_STOPPED:
        job.max_attempts += 1
    if fault.retryable and job.attempt < job.max_attempts:
        log.warning("job_retried", job=str(job.pk), attempt=job.attempt, code=fault.code)
        requeue(job, f"{fault.message} Waiting for attempt {job.attempt + 1}.")
    else:
        fail(job, fault)


def fail(job: Job, fault: JobFault) -> None:
    job.state = Job.State.FAILED
    job.error_code, job.error_message, job.message = fault.code[:60], fault.message, ""
    job.finished_at = job.finished_at or timezone.now()
    _record_failure(job)


def withdraw(job: Job, fault: JobFault) -> None:
    """End a locked, open row as cancelled, with the reason, which nobody's wish explains."""
    job.state, job.cancel_requested = Job.State.CANCELLED, True
    job.error_code, job.error_message, job.message = fault.code[:60], fault.message, ""
    job.finished_at = job.finished_at or timezone.now()
    _record_failure(job)


def cancel_now(job: Job) -> None:
    """End a locked, open row as cancelled."""
    job.state, job.cancel_requested = Job.State.CANCELLED, True
    job.error_code = job.error_message = job.message = ""
    job.finished_at = job.finished_at or timezone.now()
    _record_failure(job)


def _record_failure(job: Job) -> None:
    _guarded(job, partial(recorders.record_failure, job))
    job.save()
    transaction.on_commit(partial(_after_end, job))


def requeue(job: Job, message: str) -> None:
    """Put a locked row back into the queue as its next attempt."""
    transaction.on_commit(partial(dispatch.withdraw, str(job.pk), job.attempt))
    job.attempt += 1
    job.state, job.cancel_requested = Job.State.QUEUED, False
    job.progress, job.message, job.result = 0.0, message[:300], None
    job.error_code = job.error_message = ""
    job.started_at = job.finished_at = None
    job.dispatched_at = timezone.now()
    job.save()
    transaction.on_commit(partial(dispatch.dispatch, job))


def _after_end(job: Job) -> None:
    dispatch.withdraw(str(job.pk), job.attempt)
    dispatch.notify(str(job.pk))
