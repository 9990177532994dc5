"""Senders who drip, come all at once, fill the disk or send the same: a real web process stays as it was."""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from benchmarks.upload import MEGABYTE, part, peak, request, reset_peak, resident, web_process
from marketplace.accounts.models import User
from marketplace.accounts.services import create_token
from marketplace.adapters.models import Artifact, Blob, Upload
from marketplace.adapters.uploads.quota import stored_bytes
from tests.marketplace.adapters.conftest import adapter_files
from tests.processes.fleet import PATIENCE, database_url, wait_for

pytestmark = pytest.mark.processes

POOL = 3
#: Ten for each of the database connections.
UPLOADS = 30
Start = Callable[..., tuple[int, int]]


@pytest.fixture
def start(transactional_db: None, tmp_path: Path) -> Iterator[Start]:
    """``start(**environment)``: (process id, port) of a web process whose store is ``tmp_path / "blobs"``."""
    with ExitStack() as stack:

        def run(**environment: str) -> tuple[int, int]:
            own = {"DATABASE_URL": database_url(), "DATABASE_POOL": str(POOL), "SECRET_KEY": "processes"}
            own["BLOB_STORE_URL"] = f"file://{tmp_path / 'blobs'}"
            return stack.enter_context(web_process({**os.environ, **own, **environment}, tmp_path / "web.log"))

        yield run


@pytest.fixture
def bob(transactional_db: None) -> User:
    return User.objects.create_user("bob", "bob@example.org", "correct horse battery")


def headers_of(user: User) -> dict[str, str]:
    return {"Authorization": f"Bearer {create_token(user=user, name='t', scope='write')[1]}"}


def form(files: dict[str, bytes]) -> list[tuple[str, tuple[str, bytes]]]:
    return [("files", (name, data)) for name, data in files.items()]


def scratch(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "blobs" / "tmp").glob("*") if path.is_file()]


def drip(port: int, token: dict[str, str]) -> socket.socket:
    """A sender who announces a megabyte and has sent its first line."""
    sender = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    body = part("adapter_model.safetensors")
    boundary = body.split(b"\r\n", 1)[0][2:].decode()
    head = f"POST /api/v1/uploads/ HTTP/1.1\r\nHost: localhost\r\nAuthorization: {token['Authorization']}\r\n"
    head += f"Content-Type: multipart/form-data; boundary={boundary}\r\nContent-Length: {MEGABYTE}\r\n\r\n"
    sender.sendall(head.encode() + body)
    return sender


def test_senders_who_drip_block_nobody_and_are_sent_away(start: Start, owner: User, tmp_path: Path) -> None:
    _, port = start(UPLOAD_SILENCE_SECONDS="6", UPLOAD_MIN_BYTES_PER_SECOND="1000")
    token = headers_of(owner)
    senders = [drip(port, token) for _ in range(4 * POOL)]
    gone: set[int] = set()
    began = time.monotonic()
    answered = False
    while len(gone) < len(senders):
        assert time.monotonic() - began < PATIENCE, f"{len(senders) - len(gone)} senders still drip"
        for number, sender in enumerate(senders):
            if number in gone:
                continue
            try:
                sender.send(b"x")
                sender.settimeout(0.02)
                sender.recv(4096)  # An answer, or the end.
                gone.add(number)
            except TimeoutError:
                continue
            except OSError:
                gone.add(number)
        if not answered:
            # While all of them drip, another is served at once.
            answer = httpx.post(
                f"http://127.0.0.1:{port}/api/v1/uploads/", files=form(adapter_files()), headers=token, timeout=PATIENCE
            )
            assert (answer.status_code, answer.json()["state"]) == (201, "ready")
            assert gone == set()
            answered = True
    for sender in senders:
        sender.close()
    wait_for(lambda: not scratch(tmp_path), what="the scratch folder is empty")
    assert Upload.objects.count() == 1


def test_an_upload_in_chunks_is_asked_for_its_length(start: Start, owner: User, tmp_path: Path) -> None:
    """curl and others leave the length out when they read from a pipe."""
    _, port = start()
    whole = httpx.Request("POST", "http://x", files=form(adapter_files()))
    body = whole.read()
    pieces = (body[place : place + 1000] for place in range(0, len(body), 1000))
    headers = {**headers_of(owner), "Content-Type": whole.headers["Content-Type"]}
    address = f"http://127.0.0.1:{port}/api/v1/uploads/"
    answer = httpx.post(address, content=pieces, headers=headers, timeout=PATIENCE)
    assert (answer.status_code, answer.json()["code"]) == (411, "length_required")
    assert Upload.objects.count() == 0
    # The same with a length is taken.
    assert httpx.post(address, content=body, headers=headers, timeout=PATIENCE).status_code == 201


def test_many_uploads_at_once(start: Start, owner: User, tmp_path: Path) -> None:
    pid, port = start()
    token = headers_of(owner)
    assert request(port, "GET", "/healthz")[0] == 200
    before = resident(pid)
    reset_peak(pid)

    async def send(client: httpx.AsyncClient, seed: int) -> httpx.Response:
        files = form(adapter_files(seed=seed, width=512, rank=64))
        return await client.post(f"http://127.0.0.1:{port}/api/v1/uploads/", files=files)

    async def scene(seeds: Iterable[int]) -> list[httpx.Response]:
        limits = httpx.Limits(max_connections=60)
        async with httpx.AsyncClient(timeout=2 * PATIENCE, limits=limits, headers=token) as client:
            return await asyncio.gather(*(send(client, seed) for seed in seeds))

    answers = asyncio.run(scene(range(UPLOADS)))
    # 503: on a busy machine some wait for one of the three connections longer than anybody should.
    refused = {seed: answer for seed, answer in enumerate(answers) if answer.status_code != 201}
    assert all((answer.status_code, answer.json()["code"]) == (503, "unavailable") for answer in refused.values())
    assert len(refused) < UPLOADS
    for seed in refused:
        # Nothing of the first attempt stands in the way.
        answers[seed : seed + 1] = asyncio.run(scene([seed]))
    assert {answer.status_code for answer in answers} == {201}
    assert Upload.objects.filter(state="ready").count() == UPLOADS
    assert len({answer.json()["files"][1]["sha256"] for answer in answers}) == UPLOADS
    # Bodies of a megabyte; each is streamed to the disk.
    assert peak(pid) - before < 150 * 2**20
    assert scratch(tmp_path) == []
    wait_for(lambda: request(port, "GET", "/readyz")[0] == 200, what="it answers")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of four megabytes under the blob store."""
    folder = tmp_path / "blobs"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=4m,mode=0777", "tmpfs", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if done.returncode:
        pytest.skip(f"a tmpfs cannot be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_the_disk_fills_up_in_the_middle(small_disk: Path, start: Start, owner: User, tmp_path: Path) -> None:
    _, port = start()
    token, address = headers_of(owner), f"http://127.0.0.1:{port}/api/v1/uploads/"
    large = {**adapter_files(), "adapter_model.safetensors": bytes(8 * MEGABYTE)}
    answer = httpx.post(address, files=form(large), headers=token, timeout=PATIENCE)
    assert answer.status_code == 507, answer.text
    assert answer.json()["code"] == "storage_full"
    wait_for(lambda: not scratch(tmp_path), what="the scratch folder is empty")
    assert (Upload.objects.count(), Blob.objects.count()) == (0, 0)
    assert httpx.post(address, files=form(adapter_files()), headers=token, timeout=PATIENCE).status_code == 201


def test_two_people_send_the_same_at_once(start: Start, owner: User, bob: User, tmp_path: Path) -> None:
    _, port = start()
    address = f"http://127.0.0.1:{port}/api/v1/uploads/"
    people = {user: headers_of(user) for user in (owner, bob)}
    files = adapter_files(width=256, rank=32)

    async def scene() -> list[httpx.Response]:
        async with httpx.AsyncClient(timeout=PATIENCE) as client:
            sent = [client.post(address, files=form(files), headers=token) for token in people.values() for _ in "ab"]
            return await asyncio.gather(*sent)

    answers = [answer.json() for answer in asyncio.run(scene())]
    digest = hashlib.sha256(files["adapter_model.safetensors"]).hexdigest()
    assert {answer["files"][1]["sha256"] for answer in answers} == {digest}
    assert len({answer["id"] for answer in answers}) == 4
    assert Artifact.objects.count() == 1
    assert Blob.objects.filter(sha256=digest).count() == 1
    size = sum(len(data) for data in files.values())
    assert stored_bytes(owner) == stored_bytes(bob) == size
    # What one of them has is nothing that the other can look at.
    assert request(port, "GET", f"/api/v1/uploads/{answers[0]['id']}/", people[bob]["Authorization"][7:])[0] == 404


def test_senders_who_break_off_leave_nothing(start: Start, owner: User, tmp_path: Path) -> None:
    _, port = start()
    token = headers_of(owner)
    for _ in range(2 * POOL):
        sender = drip(port, token)
        sender.sendall(bytes(200_000))
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        sender.close()
    wait_for(lambda: request(port, "GET", "/readyz")[0] == 200, what="it answers")
    wait_for(lambda: not scratch(tmp_path), what="the scratch folder is empty")
    assert Upload.objects.count() == 0
