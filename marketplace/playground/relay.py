"""From the worker's Redis stream to the reader: server-sent events, or the whole answer at once.

When the reader leaves, the generation is cancelled, so that nobody's row keeps a batch busy for nothing.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import redis
import structlog
from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import close_old_connections

from inference_worker.contracts import keys
from inference_worker.contracts.generate import GenerateEvent
from marketplace.core.connections import arelease_connections
from marketplace.core.redis import async_redis_client, redis_client
from marketplace.playground.services import Generation, record_usage

log = structlog.get_logger(__name__)

#: How long one read of the stream waits, in milliseconds; between reads a comment keeps proxies from giving up.
_BLOCK = 2_000
_CANCEL_LIFETIME = 600
_LOST = GenerateEvent(
    kind="error",
    error_code="no_live_worker",
    error="No live worker took the request in time. Try again; if it stays so, the operator must start one.",
)
_BROKEN = GenerateEvent(
    kind="error", error_code="unavailable", error="The message broker does not answer. Try again in a moment."
)
_LATE = GenerateEvent(kind="done", finish_reason="deadline")
_LEFT = GenerateEvent(kind="done", finish_reason="cancelled")


def _sse(event: str, data: dict[str, Any]) -> bytes:
    return f"event: {event}\ndata: {json.dumps(data)}\n\n".encode()


def _parse(answer: Any) -> tuple[str | None, list[GenerateEvent]]:
    """Redis' answer to XREAD → (id of the last entry, events)."""
    if not answer:
        return None, []
    entries = answer[0][1] if isinstance(answer, list) else next(iter(answer.values()))[0]
    return entries[-1][0], [GenerateEvent.model_validate_json(fields["event"]) for _, fields in entries]


def _overdue(generation: Generation, begun: bool) -> GenerateEvent | None:
    """The event that ends a generation of which nothing is heard."""
    now = time.time()
    if not begun and now - generation.started > settings.GENERATION_START_SECONDS:
        return _LOST
    # The worker ends a generation at its deadline by itself; the margin is for its last event to arrive.
    return _LATE if now > generation.request.deadline + 2 else None


def _cancel(generation: Generation) -> None:
    """Tell the worker to stop. Without Redis it cannot be told, and ends at the deadline by itself."""
    with suppress(redis.RedisError):
        redis_client().set(keys.generation_cancel(generation.id), "1", ex=_CANCEL_LIFETIME)


def _account(generation: Generation, last: GenerateEvent) -> None:
    """Record the usage and give the connection back: a reader that left has no request whose end would do it."""
    try:
        record_usage(generation, last)
    finally:
        close_old_connections()


async def events(generation: Generation) -> AsyncIterator[GenerateEvent | None]:
    """The generation's events as they come, None when nothing came for a while; ends after ``done`` or ``error``."""
    client = async_redis_client()
    position, begun = "0", False
    while True:
        try:
            answer = await client.xread({keys.generation(generation.id): position}, block=_BLOCK, count=64)
        except redis.RedisError as error:
            log.warning("generation_unreadable", request=generation.id, fault=repr(error))
            yield _BROKEN
            return
        last, arrived = _parse(answer)
        position, begun = last or position, begun or bool(arrived)
        for event in arrived:
            yield event
            if event.kind in ("done", "error"):
                return
        if not arrived:
            overdue = _overdue(generation, begun)
            yield overdue
            if overdue:
                return


@dataclass
class _End:
    """How a generation ended, as far as its reader saw."""

    event: GenerateEvent = _LEFT


@asynccontextmanager
async def _accounted(generation: Generation) -> AsyncIterator[_End]:
    """What must be done however the reading ends: tell the worker to stop if it goes on, record the usage."""
    end = _End()
    try:
        await arelease_connections()  # The request's work in the database is done; the answer may take minutes.
        yield end
    finally:
        if end.event in (_LEFT, _LOST, _LATE):
            await sync_to_async(_cancel)(generation)
        await sync_to_async(_account)(generation, end.event)


async def stream(generation: Generation) -> AsyncIterator[bytes]:
    """Server-sent events ``accepted``, ``started``, ``token``, ``done`` and ``error``; usage is always recorded."""
    async with _accounted(generation) as end:
        yield _sse("accepted", {"id": generation.id, "base": generation.base.name, "warnings": generation.warnings})
        async for event in events(generation):
            if event is None:
                yield b": waiting\n\n"
                continue
            if event.kind in ("done", "error"):
                end.event = event
            yield _sse(event.kind, event.model_dump(mode="json", exclude={"kind"}, exclude_defaults=True))


async def collect(generation: Generation) -> tuple[str, GenerateEvent]:
    """Wait for the whole answer: (text, last event). For readers that do not stream, and for pages without scripts."""
    text = []
    async with _accounted(generation) as end:
        async for event in events(generation):
            if event is None:
                continue
            text.append(event.text)
            if event.kind in ("done", "error"):
                end.event = event
    return "".join(text), end.event
