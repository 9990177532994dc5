"""From handles to Redis streams."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Iterator

import pytest
import redis

from inference_worker.contracts import keys
from inference_worker.contracts.generate import GenerateEvent
from inference_worker.serving.sequence import GenerationHandle
from inference_worker.tasks.streams import StreamWriter


@pytest.fixture
def client() -> Iterator[redis.Redis]:
    client = redis.Redis.from_url(os.environ["REDIS_URL"], decode_responses=True)
    yield client
    client.close()


@pytest.fixture
def writer(client: redis.Redis) -> Iterator[StreamWriter]:
    writer = StreamWriter(client)
    yield writer
    writer.close()


def new_handle(seconds: float = 30.0) -> GenerationHandle:
    return GenerationHandle(uuid.uuid4().hex, time.time() + seconds)


def written(client: redis.Redis, handle: GenerationHandle) -> list[GenerateEvent]:
    entries = client.xrange(keys.generation(handle.request))
    return [GenerateEvent.model_validate_json(fields["event"]) for _, fields in entries]


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def until_ended(client: redis.Redis, handle: GenerationHandle) -> list[GenerateEvent]:
    wait_for(lambda: any(event.kind in ("done", "error") for event in written(client, handle)))
    return written(client, handle)


def test_neighbouring_tokens_are_one_entry_and_nothing_is_lost(client: redis.Redis, writer: StreamWriter) -> None:
    handle = new_handle()
    handle.send(GenerateEvent(kind="started", prompt_tokens=3))
    for number in range(200):
        handle.send(GenerateEvent(kind="token", text=f"{number} ", completion_tokens=number + 1))
    handle.send(GenerateEvent(kind="done", finish_reason="length", completion_tokens=200))
    writer.follow(handle)
    events = until_ended(client, handle)
    assert [event.kind for event in events] == ["started", "token", "done"]
    assert events[1].text == "".join(f"{number} " for number in range(200))
    assert events[1].completion_tokens == 200
    assert 0 < client.ttl(keys.generation(handle.request)) <= 600
    wait_for(lambda: writer.load == 0)  # It writes first and lets go then.


def test_many_at_once(client: redis.Redis, writer: StreamWriter) -> None:
    handles = [new_handle() for _ in range(30)]
    for handle in handles:
        writer.follow(handle)
    for handle in handles:
        handle.send(GenerateEvent(kind="token", text=handle.request))
        handle.send(GenerateEvent(kind="done", finish_reason="stop"))
    for handle in handles:
        assert until_ended(client, handle)[0].text == handle.request


def test_cancel_flag_reaches_the_handle(client: redis.Redis, writer: StreamWriter) -> None:
    handle = new_handle()
    writer.follow(handle)
    client.set(keys.generation_cancel(handle.request), "1", ex=10)
    wait_for(lambda: handle.cancelled)
    assert writer.load == 1, "followed until the engine has said its last"
    handle.send(GenerateEvent(kind="done", finish_reason="cancelled"))
    assert until_ended(client, handle)[-1].finish_reason == "cancelled"


def test_stuck_engine_does_not_keep_the_reader(client: redis.Redis, writer: StreamWriter) -> None:
    handle = new_handle(seconds=-2.0)
    writer.follow(handle)
    assert until_ended(client, handle)[-1].finish_reason == "deadline"
    wait_for(lambda: writer.load == 0)  # It writes first and lets go then.
