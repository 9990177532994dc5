"""Many people watch one job through a real web process."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from django.db import connection

from inference_worker.contracts import keys
from inference_worker.contracts.jobs import JobOutcome
from marketplace.accounts.models import Token, User
from marketplace.core.redis import redis_client
from marketplace.jobs import dispatch
from marketplace.jobs.models import Job
from marketplace.jobs.outcomes import record_outcome
from tests.processes.fleet import PATIENCE, ROOT, database_url, wait_for

pytestmark = pytest.mark.processes

READERS, POOL = 24, 3


@pytest.fixture
def site(transactional_db: None, tmp_path: Path) -> Iterator[str]:
    """The address of a web process with few database connections."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = {"DATABASE_URL": database_url(), "DATABASE_POOL": str(POOL)}
    own["DJANGO_SETTINGS_MODULE"] = "marketplace.settings.test"
    command = [sys.executable, "-m", "uvicorn", "marketplace.asgi:application", "--port", str(port)]
    with open(tmp_path / "web.log", "ab") as log:
        process = subprocess.Popen(command, env={**os.environ, **own}, cwd=ROOT, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        try:
            return httpx.get(f"{address}/healthz").status_code < 500
        except httpx.TransportError:
            return False

    wait_for(answers, what="the web process answers")
    yield address
    process.kill()
    process.wait()


def token_of(user: User) -> str:
    secret = "by_" + "a" * 40
    Token.objects.create(owner=user, name="t", prefix=secret[:12], digest=hashlib.sha256(secret.encode()).hexdigest())
    return secret


def test_more_readers_than_database_connections(site: str, owner: User, make_drill) -> None:
    job = make_drill()
    Job.objects.filter(pk=job.pk).update(state="running")
    headers = {"Authorization": f"Bearer {token_of(owner)}"}
    began = asyncio.Semaphore(0)

    async def read(client: httpx.AsyncClient) -> list[str]:
        names = []
        async with client.stream("GET", f"{site}/api/v1/jobs/{job.pk}/events/") as answer:
            assert answer.headers["content-type"] == "text/event-stream"
            async for line in answer.aiter_lines():
                if line.startswith("event: "):
                    names.append(line.removeprefix("event: "))
                    began.release()
        return names

    async def scene() -> list[list[str]]:
        limits = httpx.Limits(max_connections=READERS + 5)
        async with httpx.AsyncClient(headers=headers, timeout=PATIENCE, limits=limits) as client:
            readers = [asyncio.create_task(read(client)) for _ in range(READERS)]
            for _ in range(READERS):
                await asyncio.wait_for(began.acquire(), PATIENCE)
            live = {"progress": 0.5, "message": "Half", "log": []}
            redis_client().set(keys.job_live(str(job.pk), 1), json.dumps(live))
            dispatch.notify(str(job.pk))
            beside = await client.get(f"{site}/api/v1/jobs/{job.pk}/")
            assert (beside.status_code, beside.json()["progress"]) == (200, 0.5)
            for _ in range(READERS):
                await asyncio.wait_for(began.acquire(), PATIENCE)  # All of them have heard of it.
            outcome = JobOutcome(
                job=str(job.pk), attempt=1, status="succeeded", result={}, started_at=1.0, finished_at=2.0
            )
            await asyncio.to_thread(record_and_leave, outcome)
            return await asyncio.wait_for(asyncio.gather(*readers), PATIENCE)

    for names in asyncio.run(scene()):
        assert (names[0], names[-1]) == ("state", "end")
        assert "change" in names


def record_and_leave(outcome: JobOutcome) -> None:
    try:
        assert record_outcome(outcome)
    finally:
        connection.close()
