"""Slow readers and senders of large files leave a real web process answering."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from marketplace.accounts.models import Token, User
from marketplace.adapters.models import Adapter, Artifact, Blob, Version, VersionFile
from marketplace.core.store import blob_store
from tests.processes.fleet import PATIENCE
from tests.processes.test_watch import POOL, site, token_of

__all__ = ["site"]

pytestmark = pytest.mark.processes

#: More than the pool has connections; each body is larger than what sockets buffer on both sides.
OTHERS = POOL + 5
SIZE = 24 << 20


@pytest.fixture
def adapter(owner: User) -> Adapter:
    blobs = {}
    for path, data in {"adapter_config.json": b"{}", "adapter_model.safetensors": bytes(SIZE)}.items():
        info = blob_store().put_bytes(data)
        blobs[path] = Blob.objects.create(sha256=info.sha256, git_sha1=info.git_sha1, size=info.size)
    artifact = Artifact.objects.create(
        config_blob=blobs["adapter_config.json"], weights_blob=blobs["adapter_model.safetensors"], state="valid"
    )
    adapter = Adapter.objects.create(owner=owner, name="large", visibility="public")
    adapter.current = Version.objects.create(
        adapter=adapter, artifact=artifact, commit=hashlib.sha1(b"large").hexdigest(), author=owner, message="First"
    )
    adapter.save(update_fields=["current"])
    for path, blob in blobs.items():
        VersionFile.objects.create(version=adapter.current, path=path, blob=blob)
    return adapter


@pytest.mark.parametrize("path", ["files/main/adapter_model.safetensors", "archive/main.zip"])
def test_more_slow_readers_than_database_connections(adapter: Adapter, site: str, path: str) -> None:
    address = f"{site}/api/v1/adapters/ada/large/"

    async def scene() -> None:
        limits = httpx.Limits(max_connections=OTHERS + 5)
        async with httpx.AsyncClient(timeout=PATIENCE, limits=limits) as client:
            readers = [client.stream("GET", f"{address}{path}") for _ in range(OTHERS)]
            answers = [await reader.__aenter__() for reader in readers]
            assert [answer.status_code for answer in answers] == [200] * OTHERS
            # All of them wait for their readers, who read nothing.
            beside = await client.get(address)
            assert (beside.status_code, beside.json()["downloads"]) == (200, OTHERS)
            for reader in readers:
                await reader.__aexit__(None, None, None)

    asyncio.run(scene())


def test_more_slow_senders_than_database_connections(adapter: Adapter, site: str, tmp_path: Path) -> None:
    headers = {"Authorization": f"Bearer {token_of(adapter.owner)}"}
    Token.objects.update(scope="write")
    head = b'--b\r\nContent-Disposition: form-data; name="files"; filename="adapter_config.json"\r\n\r\n' + bytes(
        1 << 20
    )
    tail = b"\r\n--b--\r\n"
    form = {
        **headers,
        "Content-Type": "multipart/form-data; boundary=b",
        "Content-Length": str(len(head) + len(tail)),
    }

    async def scene() -> None:
        enough = asyncio.Event()
        begun = asyncio.Semaphore(0)

        async def body() -> AsyncIterator[bytes]:
            yield head
            begun.release()
            await enough.wait()
            yield tail

        limits = httpx.Limits(max_connections=OTHERS + 5)
        async with httpx.AsyncClient(timeout=PATIENCE, limits=limits) as client:
            senders = [
                asyncio.create_task(client.post(f"{site}/api/v1/uploads/", content=body(), headers=form))
                for _ in range(OTHERS)
            ]
            for _ in range(OTHERS):
                await asyncio.wait_for(begun.acquire(), PATIENCE)
            await asyncio.sleep(1.0)
            beside = await client.get(f"{site}/api/v1/adapters/ada/large/", headers=headers)
            assert beside.status_code == 200
            enough.set()
            answers = await asyncio.gather(*senders)
            assert {(answer.status_code, answer.json().get("state")) for answer in answers} == {(201, "refused")}

    asyncio.run(scene())
