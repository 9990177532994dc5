"""The rules of jobs: create, cancel, retry. What comes back from workers is in ``outcomes``.

Every change is a compare-and-set on ``(state, attempt)`` under a row lock; messages go out after the commit.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import structlog
from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from inference_worker.contracts.common import Contract
from inference_worker.contracts.jobs import KINDS, Limits
from marketplace import policy
from marketplace.accounts.models import User
from marketplace.core.errors import Conflict, Forbidden, TooManyRequests
from marketplace.jobs import dispatch, recorders
from marketplace.jobs.models import Job
from marketplace.jobs.outcomes import cancel_now, record_outcome, record_started, requeue
from marketplace.moderation import audit

__all__ = [
    "cancel_job",
    "check_open",
    "create_job",
    "hurry_job",
    "known_job",
    "record_outcome",
    "record_started",
    "retry_job",
]

#: A retry asked for by a person may lose its worker this often before it fails.
ATTEMPTS = 3


def limits_of(kind: str) -> Limits:
    """The kind's limits, with the operator's own values (setting ``JOB_LIMITS``) in their place."""
    own: dict[str, int] = settings.JOB_LIMITS.get(kind, {})
    return Limits.model_validate(KINDS[kind].limits.model_dump() | own)


def check_open(owner: User, kind: str, idempotency_key: str | None = None) -> Job | None:
    """Whether ``owner`` may have one more job of ``kind``, see ``recorders.limit_open``.

    Returns the job that ``idempotency_key`` made before, if it did: to ask for it once more costs nothing, so it is
    not counted again. Call inside the transaction that makes the job: the account's row is locked, so that what is
    asked for at once is counted one after the other. Raises ``TooManyRequests``, ``Conflict`` for another kind's key.
    """
    limit = recorders.open_limit(kind)
    User.objects.select_for_update(no_key=True).get(pk=owner.pk)
    if known := known_job(owner, kind, idempotency_key):
        return known
    if limit is None:
        return None
    what, asked = limit
    counted = Q(owner=owner, **{f"subject__{name}": value for name, value in asked.items()})
    hurried = Q(**{f"subject__{recorders.HURRIED_BY}": owner.pk})
    waiting = Job.objects.filter(counted | hurried, kind=kind).exclude(state__in=Job.ENDED).count()
    if waiting >= settings.JOBS_OPEN_PER_PERSON:
        raise TooManyRequests(
            f"{waiting} {what} of yours are under way. Wait until one of them has ended, or cancel one.",
            code="too_many_jobs",
        )
    return None


def known_job(owner: User, kind: str, idempotency_key: str | None) -> Job | None:
    """The job that the key of this owner made; None without one. Raises ``Conflict`` where it is of another kind."""
    if not idempotency_key:
        return None
    found = Job.objects.filter(owner=owner, idempotency_key=idempotency_key).first()
    if found is not None and found.kind != kind:
        raise Conflict(
            "This idempotency key belongs to another kind of job of yours. Take a new one.", code="key_taken"
        )
    return found


def create_job(
    *,
    owner: User,
    kind: str,
    request: Contract,
    subject: dict[str, Any],
    title: str = "",
    idempotency_key: str | None = None,
    limits: Limits | None = None,
) -> Job:
    """Queue a job; it is dispatched when the surrounding transaction commits.

    ``subject`` is for the kind's recorder. The same ``idempotency_key`` of the same owner returns the job made first;
    ``Conflict`` when that is of another kind.
    """
    if kind not in KINDS:
        raise ValueError(f"There is no kind of job {kind!r}; known are {', '.join(sorted(KINDS))}")
    if not isinstance(request, KINDS[kind].request):
        raise TypeError(f"A job {kind!r} needs a {KINDS[kind].request.__name__}, not a {type(request).__name__}")
    job = Job(
        owner=owner,
        kind=kind,
        queue=KINDS[kind].queue,
        title=title[:200],
        request=request.model_dump(mode="json"),
        subject=subject,
        limits=(limits or limits_of(kind)).model_dump(),
        request_id=str(structlog.contextvars.get_contextvars().get("request_id", ""))[:64],
        idempotency_key=idempotency_key or None,
        max_attempts=ATTEMPTS,
        dispatched_at=timezone.now(),
    )
    try:
        with transaction.atomic():
            job.save(force_insert=True)
            transaction.on_commit(partial(dispatch.dispatch, job))
    except IntegrityError:
        if (first := known_job(owner, kind, idempotency_key)) is None:
            raise
        return first
    return job


def hurry_job(*, user: User, job: Job) -> bool:
    """Move a job that waits behind all others because nobody had asked for it to where ``user``'s own would stand;
    False where it stands there or runs. It counts as one that ``user`` asked for, whoever's it is.

    Raises ``TooManyRequests`` as a new job does.
    """
    with transaction.atomic():
        # The account before the job, as everywhere.
        User.objects.select_for_update(no_key=True).get(pk=user.pk)
        # What somebody else holds just now ends, or is judged: there is nothing to wait for.
        rows = Job.objects.select_for_update(of=("self",), skip_locked=True)
        row = rows.filter(pk=job.pk, state=Job.State.QUEUED).first()
        limit = recorders.open_limit(job.kind)
        if row is None or limit is None or not recorders.comes_by_itself(row):
            return False
        check_open(user, row.kind)
        row.subject = {**row.subject, **(limit[1] if policy.owns(user, row) else {recorders.HURRIED_BY: user.pk})}
        row.save(update_fields=["subject"])
        transaction.on_commit(partial(dispatch.send_ahead, row))
        return True


def _locked(user: User, job: Job) -> Job:
    """The job's row, locked, for its owner or an operator. Call inside a transaction."""
    if not (policy.owns(user, job) or policy.may_operate_jobs(user)):
        raise Forbidden("This job belongs to somebody else.")
    return Job.objects.select_for_update().get(pk=job.pk)


def cancel_job(*, user: User, job: Job) -> Job:
    """Stop a job. One that waits ends at once, one that runs as soon as its worker has ended the process.

    Cancelling twice is no fault; ``Conflict`` when the job has ended otherwise.
    """
    with transaction.atomic():
        row = _locked(user, job)
        if row.state == Job.State.CANCELLED or row.cancel_requested:
            return row
        if row.has_ended:
            raise Conflict(f"The job has already {row.state}; there is nothing left to cancel.", code="job_ended")
        audit.record(actor=user, action="job.cancel", target=str(row.pk), kind=row.kind, state=row.state)
        # A worker may hold the attempt although the row does not say so yet.
        transaction.on_commit(partial(dispatch.request_stop, str(row.pk), row.attempt))
        if row.state == Job.State.QUEUED:
            cancel_now(row)
            return row
        row.cancel_requested = True
        row.message = "Cancelling"
        row.save(update_fields=["cancel_requested", "message"])
        return row


def retry_job(*, user: User, job: Job) -> Job:
    """Run a failed or cancelled job once more, as a new attempt of the same row.

    Raises what the kind's check raises when the plan is no longer allowed (``recorders.register_check``), what its
    renewal raises when there is no room for it any more (``recorders.register_retry``), and ``TooManyRequests`` as a
    new job does. What its owner tries again counts as asked for; an operator's help is nobody's request. Whoever tries,
    what the owner may use now decides: the result is the owner's, and operators may see more than they do.
    """
    with transaction.atomic():
        row = _locked(user, job)
        if row.state not in (Job.State.FAILED, Job.State.CANCELLED):
            raise Conflict(
                f"The job is {row.state}; only failed and cancelled jobs can be tried again.", code="job_not_ended"
            )
        recorders.renew(row)
        if policy.owns(user, row) and (limit := recorders.open_limit(row.kind)) is not None:
            row.subject = {**row.subject, **limit[1]}
            check_open(row.owner, row.kind)
        audit.record(actor=user, action="job.retry", target=str(row.pk), kind=row.kind, attempt=row.attempt + 1)
        row.max_attempts = row.attempt + ATTEMPTS
        requeue(row, "Waiting to be tried again")
        return row
