"""Faults of the checks themselves, of which operators have to hear: an error in the log, and a mail.

An alert is raised where people have been answered already; nobody waits for it, and a broker or mail server that is
away loses the mail but never the line in the log.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial

import structlog
from celery import shared_task
from django.conf import settings
from django.core.mail import send_mail
from django.db import transaction
from django.urls import reverse
from redis.exceptions import RedisError

from inference_worker.contracts.common import Problem
from marketplace.accounts.models import User
from marketplace.adapters.models import Artifact
from marketplace.adapters.uploads.problems import UploadFault, error
from marketplace.celery import app
from marketplace.core.errors import AppError
from marketplace.core.redis import redis_client
from marketplace.jobs.models import Job

logger = structlog.get_logger(__name__)

TASK = "marketplace.mail_operators"
#: The problem of a check that crashed in the worker.
CRASHED = "check_crashed"


def alert(event: str, *, cause: str, subject: str, body: str, **fields: object) -> None:
    """Log ``event`` as an error with ``fields``, and mail the operators once the transaction is committed.

    Alerts of one ``cause`` are mailed once in ``ALERT_EVERY_SECONDS``, so that a person who uploads the same file a
    hundred times does not fill a mailbox; the log has them all.
    """
    logger.error(event, cause=cause, **fields)
    transaction.on_commit(partial(_mail_later, cause, subject, body), robust=True)


def _mail_later(cause: str, subject: str, body: str) -> None:
    try:
        first = redis_client().set(f"alert:{cause}", "1", ex=settings.ALERT_EVERY_SECONDS, nx=True)
    except RedisError:
        first = True
    if first:
        app.send_task(TASK, args=[subject, body], retry=False)


def crashed_checks(job: Job, artifact: Artifact, problems: Iterable[Problem]) -> None:
    """Alert for each check of an upload that crashed in the worker; its log has the traceback under the job's id."""
    for problem in problems:
        if problem.code == CRASHED:
            _of_a_check(job, artifact, cause=f"check:{problem.place}", what=f"The check {problem.place} crashed")


def unfinished_check(job: Job, artifact: Artifact) -> None:
    """Alert for a check of an upload that was lost, or ended by a limit or a fault."""
    what = f"A check could not be finished ({job.error_code}: {job.error_message})"
    _of_a_check(job, artifact, cause=f"job:{job.error_code}", what=what)


@contextmanager
def crash_refuses() -> Iterator[None]:
    """Turn whatever a check of the arriving files raises by mistake into ``UploadFault``, and alert the operators.

    Faults that people can mend (``AppError``) and those of the disk pass through.
    """
    try:
        yield
    except (UploadFault, AppError, OSError):
        raise
    except Exception as fault:
        where = traceback.extract_tb(fault.__traceback__)[-1]
        cause = f"{type(fault).__name__} in {where.name}, {where.filename.rpartition('/')[2]}:{where.lineno}"
        body = f"A check of an upload's files crashed: {cause}. The upload was not accepted.\n\nThe log has more.\n"
        alert("upload_check_crashed", cause=cause, subject="a check of an upload crashed", body=body, exc_info=fault)
        message = f"A check could not finish ({type(fault).__name__}), so the upload is not accepted."
        raise UploadFault(error(CRASHED, "", message)) from fault


def _of_a_check(job: Job, artifact: Artifact, *, cause: str, what: str) -> None:
    body = (
        f"{what}, so the upload was not accepted. This is a fault of the site and not of the file.\n\n"
        f"Job: {settings.SITE_URL}{reverse('admin:jobs_job_change', args=[job.pk])}\n"
        f"Artefact: {artifact.pk}, weights {artifact.weights_blob_id}, config {artifact.config_blob_id}\n\n"
        "The worker's log has the traceback under the job's id. The uploader can have it checked again once it is "
        "mended. The same fault is mailed again after a while at the earliest; the log has every one.\n"
    )
    subject = "a check of an upload crashed"
    alert("upload_check_crashed", cause=cause, subject=subject, body=body, job=str(job.pk), artifact=artifact.pk)


def operators() -> list[str]:
    """Addresses from ``OPERATOR_EMAILS``; without any, those of the superusers."""
    if settings.ADMINS:
        return [address for _, address in settings.ADMINS]
    superusers = User.objects.filter(is_superuser=True, is_active=True).exclude(email="")
    return list(superusers.order_by("pk").values_list("email", flat=True))


@shared_task(name=TASK, autoretry_for=(OSError,), retry_backoff=30, max_retries=5)
def mail_operators(subject: str, body: str) -> int:
    """Write the mail; to how many. Raises ``OSError`` from the mail server."""
    addresses = operators()
    if not addresses:
        logger.warning("operators_not_mailed", subject=subject, why="no operator has an e-mail address")
        return 0
    send_mail(f"Brickyard: {subject}", body, None, addresses)
    return len(addresses)
