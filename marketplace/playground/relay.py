"""From the worker's Redis stream to the reader: server-sent events, or the whole answer at once.

When the reader leaves, the generation is cancelled, so that nobody's row keeps a batch busy for nothing.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import close_old_connections

from inference_worker.contracts import keys
from inference_worker.contracts.generate import GenerateEvent
from marketplace.core.connections import arelease_connections
from marketplace.core.redis import async_redis_client, redis_client
from marketplace.playground.services import Generation, record_usage

#: How long one read of the stream waits, in milliseconds; between reads a comment keeps proxies from giving up.
_BLOCK = 2_000
_CANCEL_LIFETIME = 600
_LOST = GenerateEvent(
    kind="error",
    error_code="no_live_worker",
    error="No live worker took the request in time. Try again; if it stays so, the operator must start one.",
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
        answer = await client.xread({keys.generation(generation.id): position}, block=_BLOCK, count=64)
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


async def stream(generation: Generation) -> AsyncIterator[bytes]:
    """Server-sent events ``started``, ``token``, ``done`` and ``error``; a last row of usage is always written."""
    final = _LEFT
    try:
        await arelease_connections()
        yield _sse("accepted", {"id": generation.id, "base": generation.base.name, "warnings": generation.warnings})
        async for event in events(generation):
            if event is None:
                yield b": waiting\n\n"
                continue
            if event.kind in ("done", "error"):
                final = event
            yield _sse(event.kind, event.model_dump(mode="json", exclude={"kind"}, exclude_defaults=True))
    finally:
        if final in (_LEFT, _LOST, _LATE):
            await sync_to_async(_cancel)(generation)
        await sync_to_async(_account)(generation, final)


def collect(generation: Generation) -> tuple[str, GenerateEvent]:
    """Wait for the whole answer: (text, last event). For readers that do not stream, and for pages without scripts."""
    client = redis_client()
    position, begun, text, final = "0", False, [], None
    while final is None:
        last, arrived = _parse(client.xread({keys.generation(generation.id): position}, block=_BLOCK, count=256))
        position, begun = last or position, begun or bool(arrived)
        text += [event.text for event in arrived]
        final = next((event for event in arrived if event.kind in ("done", "error")), None)
        if not arrived:
            final = _overdue(generation, begun)
    if final in (_LOST, _LATE):
        _cancel(generation)
    record_usage(generation, final)
    return "".join(text), final
