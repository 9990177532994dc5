"""Reading jobs: the row, and over it what Redis knows of a running attempt."""

from __future__ import annotations

import json
import uuid
from typing import Any

import redis
import structlog
from django.contrib.auth.models import AnonymousUser
from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce

from inference_worker.contracts import keys
from marketplace import policy
from marketplace.accounts.models import User
from marketplace.core.errors import NotFound
from marketplace.core.redis import redis_client
from marketplace.jobs.models import Job

log = structlog.get_logger(__name__)

#: Vectors are made anew after every edit; their jobs would bury what the person started.
UNLISTED_KINDS = ("embed",)


def jobs_of(user: User | AnonymousUser, *, states: list[str] | None = None, kind: str = "") -> QuerySet[Job]:
    """The user's jobs, newest first; nobody else's, whoever asks. Those that the site starts by itself after every
    edit (``UNLISTED_KINDS``) are left out unless their kind is asked for."""
    jobs = _owned(user)
    if states:
        jobs = jobs.filter(state__in=states)
    return jobs.filter(kind=kind) if kind else jobs.exclude(kind__in=UNLISTED_KINDS)


def _owned(user: User | AnonymousUser) -> QuerySet[Job]:
    return Job.objects.filter(policy.owned_by(user))


def get_job(*, user: User | AnonymousUser, job_id: uuid.UUID | str) -> Job:
    """Raises ``NotFound`` for an unknown job and for somebody else's alike."""
    try:
        number = uuid.UUID(str(job_id))
    except ValueError as error:
        raise NotFound("There is no such job.") from error
    job = _owned(user).filter(pk=number).first()
    if job is None:
        raise NotFound("There is no such job, or it is not yours.")
    return job


def live_states(jobs: list[Job]) -> list[dict[str, Any]]:
    """``live_state`` of many jobs with one question to Redis."""
    open_jobs = [job for job in jobs if not job.has_ended]
    overlays = _overlays(open_jobs)
    return [_merged(job, overlays.get(job.pk, {})) for job in jobs]


def live_state(job: Job) -> dict[str, Any]:
    """``{"progress": 0–1, "message": str, "log": [{"at": Unix time, "message": str}]}``, as new as is known."""
    return live_states([job])[0]


def _overlays(jobs: list[Job]) -> dict[uuid.UUID, dict[str, Any]]:
    if not jobs:
        return {}
    names = [keys.job_live(str(job.pk), job.attempt) for job in jobs]
    try:
        texts = redis_client().mget(names)
    except redis.RedisError as error:
        log.warning("progress_unknown", fault=repr(error))
        return {}
    return {job.pk: json.loads(text) for job, text in zip(jobs, texts, strict=True) if text}


def _merged(job: Job, overlay: dict[str, Any]) -> dict[str, Any]:
    message = job.message if job.cancel_requested else (overlay.get("message") or job.message)
    return {
        "progress": overlay.get("progress", job.progress),
        "message": message,
        "log": [*job.log, *overlay.get("log", [])],
    }


def waiting_before(job: Job) -> int:
    """How many queued jobs of the same queue are older; 0 for a job that does not wait."""
    return places_of([job]).get(job.pk, 0)


def places_of(jobs: list[Job]) -> dict[uuid.UUID, int]:
    """``waiting_before`` of those of ``jobs`` that wait, with one question whatever their number."""
    waiting = [job.pk for job in jobs if job.state == Job.State.QUEUED]
    if not waiting:
        return {}
    since = Coalesce("dispatched_at", "created_at")
    older = (
        Job.objects.filter(queue=OuterRef("queue"), state=Job.State.QUEUED, dispatched_at__lt=OuterRef("since"))
        .order_by()
        .values("queue")
        .annotate(count=Count("pk"))
        .values("count")
    )
    rows = Job.objects.filter(pk__in=waiting).annotate(since=since).annotate(before=Subquery(older))
    return {pk: before or 0 for pk, before in rows.values_list("pk", "before")}


def full_state(job: Job) -> dict[str, Any]:
    """Everything that a page or a program shows of a job; JSON-safe."""
    return full_states([job])[0]


def full_states(jobs: list[Job]) -> list[dict[str, Any]]:
    """``full_state`` of many jobs with one question to Redis and one to PostgreSQL."""
    places = places_of(jobs)
    return [_state(job, live, places.get(job.pk, 0)) for job, live in zip(jobs, live_states(jobs), strict=True)]


def _state(job: Job, live: dict[str, Any], before: int) -> dict[str, Any]:
    return {
        "id": str(job.pk),
        "kind": job.kind,
        "title": job.title,
        "state": job.state,
        "attempt": job.attempt,
        "cancel_requested": job.cancel_requested,
        **live,
        "waiting_before": before,
        "result": job.result,
        "error": {"code": job.error_code, "message": job.error_message} if job.error_code else None,
        "peak_memory_mb": job.peak_memory_mb,
        "created_at": job.created_at.isoformat(),
        "started_at": job.started_at.isoformat() if job.started_at else None,
        "finished_at": job.finished_at.isoformat() if job.finished_at else None,
    }
