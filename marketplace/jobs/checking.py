"""Stops what is no longer allowed: jobs whose owners lost the right that a plan rests on.

``recorders.register_check`` says what a kind rests on. It is asked when a worker claims a job, whenever somebody's
rights shrink, once a minute in any case, before a retry and before a result is recorded.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from uuid import UUID

import structlog
from django.db import InterfaceError, OperationalError, transaction

from inference_worker.contracts.jobs import JobFault
from marketplace.celery import app
from marketplace.core.errors import AppError
from marketplace.jobs import dispatch, recorders
from marketplace.jobs.models import Job
from marketplace.jobs.outcomes import fail, withdraw

log = structlog.get_logger(__name__)

TASK = "marketplace.recheck_jobs"


def recheck_later(owners: Sequence[int] | None = None) -> None:
    """Have the open jobs of ``owners`` (of everybody without) checked after the commit. A broker that is away only
    delays it: beat asks too."""
    transaction.on_commit(partial(app.send_task, TASK, args=[owners], retry=False), robust=True)


def recheck_jobs(owners: Sequence[int] | None = None) -> int:
    """Check the open jobs of ``owners``, of everybody without; returns how many were stopped."""
    jobs = Job.objects.exclude(state__in=Job.ENDED).filter(kind__in=recorders.checked_kinds())
    if owners is not None:
        jobs = jobs.filter(owner__in=owners)
    return sum(_rechecked(key) for key in list(jobs.values_list("pk", flat=True)))


def _rechecked(key: UUID) -> bool:
    """``recheck``; a check that is wrong about one job must not keep the others from being looked at."""
    try:
        return recheck(key)
    except (OperationalError, InterfaceError):
        raise  # The database is gone, not the check wrong.
    except Exception:
        log.exception("check_failed", job=str(key))
        return False


def recheck(job_id: UUID | str) -> bool:
    """Whether the job was open and had to be stopped; it fails in the words of its check, or is
    cancelled where what it was about is gone."""
    with transaction.atomic():
        open_jobs = Job.objects.select_for_update(of=("self",)).select_related("owner").exclude(state__in=Job.ENDED)
        job = open_jobs.filter(pk=job_id).first()
        if job is None:
            return False
        try:
            recorders.check(job)
        except AppError as error:
            log.info("job_no_longer_allowed", job=str(job.pk), kind=job.kind, code=error.code)
            transaction.on_commit(partial(dispatch.request_stop, str(job.pk), job.attempt))
            fault = JobFault(code=error.code, message=error.message, extra=error.extra)
            end = withdraw if isinstance(error, recorders.Withdrawn) else fail
            end(job, fault)
            return True
    return False
