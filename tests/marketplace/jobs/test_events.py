"""A job's server-sent events."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import AnonymousUser
from django.db import connection
from django.test import RequestFactory

from inference_worker.contracts import keys
from marketplace.core.connections import arelease_connections
from marketplace.core.redis import redis_client
from marketplace.jobs import dispatch, events
from marketplace.jobs.models import Job
from marketplace.jobs.outcomes import record_outcome

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
async def _no_connection_is_left() -> AsyncIterator[None]:
    """The thread of the asynchronous parts has a connection of its own."""
    yield
    await arelease_connections()


def parsed(chunk: bytes) -> tuple[str, dict]:
    """Name and data of an event; a comment has neither."""
    lines = chunk.decode().strip().split("\n")
    if lines[0].startswith(":"):
        return "", {}
    return lines[0].removeprefix("event: "), json.loads(lines[1].removeprefix("data: "))


def show(job: Job, progress: float, *lines: str) -> None:
    """What a worker's board does."""
    live = {"progress": progress, "message": "Merging", "log": [{"at": 0.0, "message": line} for line in lines]}
    redis_client().set(keys.job_live(str(job.pk), job.attempt), json.dumps(live))
    dispatch.notify(str(job.pk))


async def following(job: Job, found: list[tuple[str, dict]]) -> None:
    async for chunk in events.stream(job.pk):
        found.append(parsed(chunk))


async def until(found: list[tuple[str, dict]], name: str, count: int = 1) -> None:
    async with asyncio.timeout(10):
        while len([event for event, _ in found if event == name]) < count:
            await asyncio.sleep(0.02)


async def test_state_then_changes_then_end(make_job, make_outcome) -> None:
    job = await sync_to_async(make_job)(state="running")
    found: list[tuple[str, dict]] = []
    reader = asyncio.create_task(following(job, found))
    await until(found, "state")
    assert found[0][1]["state"] == "running"
    await until(found, "")  # The subscription stands.
    show(job, 0.25, "Opened a.")
    await until(found, "change")
    assert found[-1][1]["progress"] == 0.25
    show(job, 0.5, "Opened a.", "Opened b.")
    await until(found, "change", 2)
    assert found[-1][1]["log"] == [{"at": 0.0, "message": "Opened b."}]
    assert (found[-1][1]["log_from"], "state" in found[-1][1]) == (1, False)
    await sync_to_async(record_outcome)(make_outcome(job))
    async with asyncio.timeout(10):
        await reader
    assert found[-1][0] == "end"
    assert (found[-1][1]["state"], found[-1][1]["result"]) == ("succeeded", {"answer": 42})


async def test_reload_begins_with_everything(make_job) -> None:
    job = await sync_to_async(make_job)(state="running")
    show(job, 0.5, "Opened a.", "Opened b.")
    first = await anext(events.stream(job.pk))
    assert [line["message"] for line in parsed(first)[1]["log"]] == ["Opened a.", "Opened b."]


async def test_ended_job_ends_at_once(make_job) -> None:
    job = await sync_to_async(make_job)(state="failed", error_code="time_limit", error_message="Too long.")
    found: list[tuple[str, dict]] = []
    began = time.monotonic()
    await following(job, found)
    assert [name for name, _ in found] == ["state", "end"]
    assert found[1][1]["error"]["code"] == "time_limit"
    assert time.monotonic() - began < events._PATIENCE, "nothing was waited for"


async def test_only_the_owner_may_watch(make_job, ada) -> None:
    job = await sync_to_async(make_job)(state="cancelled")
    request = RequestFactory().get(f"/jobs/{job.pk}/events")
    for user, status in ((AnonymousUser(), 404), (ada, 200)):
        request.auser = lambda user=user: sync_to_async(lambda: user)()
        answer = await events.job_events(request, job.pk)
        assert answer.status_code == status
    assert answer["Content-Type"] == "text/event-stream"


async def test_readers_hold_no_database_connection(make_job) -> None:
    """However many watch: the pool is for those who ask."""
    job = await sync_to_async(make_job)(state="running")
    reader = events.stream(job.pk)
    await anext(reader)
    held = await sync_to_async(lambda: connection.connection)()
    assert held is None
    await reader.aclose()


async def test_log_of_a_new_attempt_is_sent_whole() -> None:
    before = {"log": [{"at": 1, "message": "a"}], "state": "running"}
    now = {"log": [{"at": 2, "message": "b"}], "state": "running"}
    assert events.difference(before, now) == {"log": now["log"], "log_from": 0}
