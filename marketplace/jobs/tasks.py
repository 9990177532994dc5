"""The marketplace worker's share of the job machine; messages carry ``(job, attempt)`` only."""

from __future__ import annotations

import structlog
from celery import shared_task

from marketplace.jobs import checking, garbage, reaper
from marketplace.jobs.outcomes import record_outcome, stored_outcome
from marketplace.jobs.outcomes import record_started as mark_started

log = structlog.get_logger(__name__)


@shared_task(name="marketplace.record_started")
def record_started(job: str, attempt: int) -> bool:
    """A worker has begun the attempt; it ends again at once when the job is no longer allowed."""
    started = mark_started(job_id=job, attempt=attempt)
    if started:
        checking.recheck(job)
    return started


@shared_task(name=checking.TASK)
def recheck_jobs(owners: list[int] | None = None) -> int:
    """Stop open jobs that are no longer allowed."""
    return checking.recheck_jobs(owners)


@shared_task(name="marketplace.record_result")
def record_result(job: str, attempt: int) -> bool:
    """A worker has left the attempt's outcome in the blob store."""
    outcome = stored_outcome(job, attempt)
    if outcome is None:
        log.warning("result_missing", job=job, attempt=attempt)
        return False
    return record_outcome(outcome)


@shared_task(name="marketplace.reap_jobs")
def reap_jobs() -> dict[str, int]:
    """Bring forward what was lost."""
    return reaper.reap()


@shared_task(name="marketplace.collect_job_documents")
def collect_job_documents() -> int:
    """Delete old plans and results."""
    return garbage.collect_documents()
