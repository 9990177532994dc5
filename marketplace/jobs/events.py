"""A job's progress as server-sent events: the whole state first, then what changes, until the job ends.

Readers wait on a pub/sub channel, not in a thread. A message on it only says that something is new; the state is
always read from where it is kept, so a lost message delays news by some seconds and loses nothing, and a reload shows
the same.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from typing import Any

import redis
import structlog
from asgiref.sync import sync_to_async
from django.db import OperationalError
from django.http import HttpRequest, JsonResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.views.decorators.http import require_safe

from inference_worker.contracts import keys
from marketplace.core.connections import release_connections
from marketplace.core.errors import AppError
from marketplace.core.redis import async_redis_client
from marketplace.jobs import selectors
from marketplace.jobs.models import Job

log = structlog.get_logger(__name__)

#: Seconds between two looks without a message; after each a comment tells proxies that the line is alive.
_PATIENCE = 3.0
#: Messages that come closer together than this are answered once.
_SETTLE = 0.2


def sse(event: str, data: dict[str, Any]) -> bytes:
    """One server-sent event."""
    return f"event: {event}\ndata: {json.dumps(data)}\n\n".encode()


@sync_to_async
def _state(job_id: uuid.UUID) -> dict[str, Any] | None:
    try:
        job = Job.objects.filter(pk=job_id).first()
        return None if job is None else selectors.full_state(job)
    finally:
        release_connections()


def difference(before: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """What a reader of ``before`` has yet to learn; ``log`` holds the new lines, or all when it began anew."""
    changed = {name: value for name, value in now.items() if before.get(name) != value}
    if "log" in changed:
        old, new = before["log"], now["log"]
        if new[: len(old)] == old:
            changed["log"] = new[len(old) :]
            changed["log_from"] = len(old)
        else:
            changed["log_from"] = 0
    return changed


async def _changes(job_id: uuid.UUID) -> AsyncIterator[None]:
    """Yields when there may be news: at once, on each message, and every few seconds in any case."""
    yield
    while True:
        try:
            async with async_redis_client().pubsub(ignore_subscribe_messages=True) as channel:
                await channel.subscribe(keys.job_channel(str(job_id)))
                yield  # Something may have happened between the first look and the subscription.
                while True:
                    message = await channel.get_message(timeout=_PATIENCE)
                    if message is not None:
                        await asyncio.sleep(_SETTLE)
                        while await channel.get_message(timeout=0.0) is not None:
                            continue  # These are answered by the same look.
                    yield
        except redis.RedisError as error:
            log.warning("watching_without_redis", job=str(job_id), fault=repr(error))
            await asyncio.sleep(_PATIENCE)
            yield


async def stream(job_id: uuid.UUID) -> AsyncIterator[bytes]:
    """Events ``state`` (everything), ``change`` (see ``difference``) and, last, ``end`` (everything)."""
    known: dict[str, Any] | None = None
    async for _ in _changes(job_id):
        try:
            now = await _state(job_id)
        except OperationalError as error:
            log.warning("watching_without_database", job=str(job_id), fault=repr(error))
            yield b": waiting for the database\n\n"
            await asyncio.sleep(_SETTLE)
            continue
        if now is None:
            yield sse("end", known or {})
            return
        if known is None:
            yield sse("state", now)
        elif changed := difference(known, now):
            yield sse("change", changed)
        else:
            yield b": still here\n\n"
        known = now
        if now["state"] in Job.ENDED:
            yield sse("end", now)
            return


@require_safe
async def job_events(request: HttpRequest, job_id: uuid.UUID) -> HttpResponseBase:
    """The view behind ``/jobs/{id}/events`` (session)."""
    user = await request.auser()
    try:
        await sync_to_async(selectors.get_job)(user=user, job_id=job_id)
    except AppError as error:
        return JsonResponse(error.envelope(), status=error.status)
    return event_response(job_id)


def event_response(job_id: uuid.UUID) -> StreamingHttpResponse:
    """The stream of a job that the asker may see."""
    response = StreamingHttpResponse(stream(job_id), content_type="text/event-stream")
    response["Cache-Control"] = "no-cache, no-transform"
    response["X-Accel-Buffering"] = "no"
    return response
