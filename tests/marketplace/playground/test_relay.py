"""The relay between the worker's stream and the reader, over a real Redis; the worker's side is written by hand."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest
import redis.asyncio
from asgiref.sync import sync_to_async

from inference_worker.contracts import keys
from inference_worker.contracts.common import BaseFiles
from inference_worker.contracts.generate import GenerateEvent, GenerateRequest
from marketplace.bases.models import Base
from marketplace.core.redis import async_redis_client, redis_client
from marketplace.playground import relay
from marketplace.playground.models import Usage
from marketplace.playground.services import Generation

Result = TypeVar("Result")

pytestmark = pytest.mark.django_db(transaction=True)


def generation(seconds: float = 30.0, started: float | None = None) -> Generation:
    now = time.time() if started is None else started
    base = Base.objects.get_or_create(name="tiny", defaults={"source": "/nowhere", "state": Base.State.READY})[0]
    request = GenerateRequest(
        request=uuid.uuid4().hex,
        base=BaseFiles(name="tiny", source="/nowhere"),
        prompt="hello",
        deadline=now + seconds,
    )
    return Generation(request=request, base=base, members=(), user=None, started=now)


def write(id: str, *events: GenerateEvent) -> None:
    for event in events:
        redis_client().xadd(keys.generation(id), {"event": event.model_dump_json()})


def token(text: str) -> GenerateEvent:
    return GenerateEvent(kind="token", text=text)


DONE = GenerateEvent(kind="done", finish_reason="stop", prompt_tokens=3, completion_tokens=2)


def parse(chunks: list[bytes]) -> list[tuple[str, dict[str, object]]]:
    """Server-sent events → (event, data); comments are left out."""
    parsed = []
    for block in b"".join(chunks).decode().split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if lines:
            parsed.append((lines["event"], json.loads(lines["data"])))
    return parsed


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """One event loop per call, as a server has one; its Redis client is closed with it."""

    async def closing() -> Result:
        try:
            return await work
        finally:
            await async_redis_client().aclose()

    return asyncio.run(closing())


async def read_all(started: Generation) -> list[bytes]:
    return [chunk async for chunk in relay.stream(started)]


def test_stream_relays_events_in_order_and_records_usage() -> None:
    started = generation()
    write(started.id, GenerateEvent(kind="started"), token("Hel"), token("lo\n\nworld"), DONE)
    events = parse(run(read_all(started)))
    assert [name for name, _ in events] == ["accepted", "started", "token", "token", "done"]
    assert "".join(str(data.get("text", "")) for _, data in events) == "Hello\n\nworld"
    usage = Usage.objects.get(request=started.id)
    assert (usage.prompt_tokens, usage.completion_tokens, usage.finish_reason) == (3, 2, "stop")
    assert not redis_client().exists(keys.generation_cancel(started.id))


def test_collect_waits_for_the_whole_text() -> None:
    started = generation()
    write(started.id, token("a"), token("b"), DONE)
    assert run(relay.collect(started)) == ("ab", DONE)
    assert Usage.objects.filter(request=started.id).count() == 1


def test_leaving_reader_cancels_the_generation() -> None:
    started = generation()
    write(started.id, GenerateEvent(kind="started"), token("a"))

    async def read_three_and_leave() -> None:
        chunks = relay.stream(started)
        for _ in range(3):
            await anext(chunks)
        await chunks.aclose()

    run(read_three_and_leave())
    assert redis_client().get(keys.generation_cancel(started.id)) == "1"
    assert Usage.objects.get(request=started.id).finish_reason == "cancelled"


def test_cancelled_task_cancels_the_generation() -> None:
    """A server that drops the connection cancels the task in the middle of a read."""
    started = generation()

    async def drop() -> None:
        task = asyncio.create_task(read_all(started))
        await sync_to_async(write)(started.id, token("a"))
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(drop())
    assert redis_client().exists(keys.generation_cancel(started.id))
    assert Usage.objects.filter(request=started.id, finish_reason="cancelled").exists()


def test_reader_that_leaves_while_waiting_cancels_too() -> None:
    started = generation()

    async def drop() -> None:
        task = asyncio.create_task(relay.collect(started))
        await sync_to_async(write)(started.id, token("a"))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(drop())
    assert redis_client().exists(keys.generation_cancel(started.id))


def test_lost_redis_is_said_and_still_accounted(settings, monkeypatch) -> None:
    started = generation()
    lost = redis.asyncio.Redis(unix_socket_path="/nowhere/redis.sock")
    monkeypatch.setattr(relay, "async_redis_client", lambda: lost)
    (_, (name, data)) = parse(run(read_all(started)))
    assert (name, data["error_code"]) == ("error", "unavailable")
    assert Usage.objects.filter(request=started.id).exists()


def test_no_worker_is_said_in_words(settings, monkeypatch) -> None:
    settings.GENERATION_START_SECONDS = 0
    monkeypatch.setattr(relay, "_BLOCK", 50)
    started = generation(started=time.time() - 1)
    (_, accepted), (name, data) = parse(run(read_all(started)))
    assert accepted["id"] == started.id
    assert name == "error"
    assert data["error_code"] == "no_live_worker"
    assert redis_client().exists(keys.generation_cancel(started.id))


def test_deadline_ends_a_silent_generation(monkeypatch) -> None:
    monkeypatch.setattr(relay, "_BLOCK", 50)
    started = generation(seconds=-5)
    write(started.id, token("a"))
    text, last = run(relay.collect(started))
    assert (text, last.finish_reason) == ("a", "deadline")


def test_error_event_ends_the_stream() -> None:
    started = generation()
    write(started.id, GenerateEvent(kind="error", error_code="refused", error="Cannot be served."))
    events = parse(run(read_all(started)))
    assert events[-1] == ("error", {"error_code": "refused", "error": "Cannot be served."})
