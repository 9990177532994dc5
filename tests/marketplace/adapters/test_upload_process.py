"""Uploads to a real web process: memory, limits, and senders who go away."""

from __future__ import annotations

import hashlib
import http.client
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest
from django.db import connection

from benchmarks.upload import BOUNDARY, MEGABYTE, measure, part, peak, request, reset_peak, resident, web_process
from inference_worker.blobs import BlobStore
from marketplace.accounts.models import User
from marketplace.accounts.services import create_token
from marketplace.adapters import services
from marketplace.adapters.models import Blob, Upload

pytestmark = [pytest.mark.processes, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def site(transactional_db: None, tmp_path: Path) -> Iterator[tuple[int, int]]:
    parts = urlsplit(os.environ["DATABASE_URL"])
    database = urlunsplit(parts._replace(path=f"/{connection.settings_dict['NAME']}"))
    environment = {
        **os.environ,
        "DATABASE_URL": database,
        "BLOB_STORE_URL": f"file://{tmp_path / 'blobs'}",
        "UPLOAD_MAX_BYTES": str(100 * MEGABYTE),
    }
    with web_process(environment, tmp_path / "web.log") as (pid, port):
        yield pid, port


def _token(user: User) -> str:
    return create_token(user=user, name="t", scope="write")[1]


def _wait_until_empty(folder: Path) -> None:
    until = time.monotonic() + 60
    while any(folder.glob("*")):
        assert time.monotonic() < until, list(folder.glob("*"))
        time.sleep(0.05)


def test_a_large_upload_costs_little_memory(site: tuple[int, int], ada: User, tmp_path: Path) -> None:
    pid, port = site
    token = _token(ada)
    measure(port, pid, token, MEGABYTE, seed=0)
    figures = measure(port, pid, token, 64 * MEGABYTE, seed=1)
    assert figures.grown < 32 * 2**20
    assert Blob.objects.get(sha256=figures.sha256).size == 64 * MEGABYTE
    assert BlobStore(f"file://{tmp_path / 'blobs'}").size(figures.sha256) == 64 * MEGABYTE
    assert not any((tmp_path / "blobs" / "tmp").iterdir())


def _open(port: int, token: str, length: int) -> http.client.HTTPConnection:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.putrequest("POST", "/api/v1/uploads/")
    if token:
        connection.putheader("Authorization", f"Bearer {token}")
    connection.putheader("Content-Type", f"multipart/form-data; boundary={BOUNDARY}")
    connection.putheader("Content-Length", str(length))
    connection.endheaders(part("adapter_model.safetensors"))
    return connection


def test_answers_come_before_the_body_is_sent(site: tuple[int, int], ada: User) -> None:
    """Whoever may not upload, or announces too much, learns it at once and nothing is written."""
    _, port = site
    for token, length, status in (("", 50 * MEGABYTE, 401), ("by_x", 1000, 401), (_token(ada), 200 * MEGABYTE, 413)):
        waiting = _open(port, token, length)
        assert waiting.getresponse().status == status
        waiting.close()
    assert Upload.objects.count() == 0


def test_a_sender_who_goes_away_leaves_nothing(site: tuple[int, int], ada: User, tmp_path: Path) -> None:
    _, port = site
    scratch = tmp_path / "blobs" / "tmp"
    sender = _open(port, _token(ada), 50 * MEGABYTE)
    sender.send(bytes(5 * MEGABYTE))
    until = time.monotonic() + 60
    while not scratch.exists() or not any(path.stat().st_size > MEGABYTE for path in scratch.iterdir()):
        assert time.monotonic() < until
        time.sleep(0.02)
    assert sender.sock is not None
    sender.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    sender.close()
    _wait_until_empty(scratch)
    # The process goes on answering.
    assert request(port, "GET", "/healthz")[0] == 200
    assert Upload.objects.count() == 0


def test_other_bodies_are_limited(site: tuple[int, int], ada: User) -> None:
    _, port = site
    connection: Any = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"Authorization": f"Bearer {_token(ada)}", "Content-Type": "application/json"}
    connection.request("POST", "/api/v1/adapters/", b" " * 3_000_000, headers)
    assert connection.getresponse().status == 413
    connection.close()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    # Of unknown length: it is not even read.
    connection.request("POST", "/api/v1/adapters/", iter([b" " * 500_000] * 8), headers, encode_chunked=True)
    assert connection.getresponse().status == 411
    connection.close()


def test_a_download_costs_little_memory_and_comes_back_whole(site: tuple[int, int], ada: User) -> None:
    pid, port = site
    token = _token(ada)
    sent = measure(port, pid, token, 64 * MEGABYTE, seed=2)
    services.publish_upload(user=ada, upload=Upload.objects.get(pk=sent.answer["id"]), name="large")
    for path in ("files/main/adapter_model.safetensors", "archive/main.zip"):
        before = resident(pid)
        reset_peak(pid)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("GET", f"/api/v1/adapters/ada/large/{path}", headers={"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        assert answer.status == 200
        body = answer.read()
        connection.close()
        assert len(body) == int(answer.headers["Content-Length"]) >= 64 * MEGABYTE
        assert peak(pid) - before < 32 * 2**20
        if path.startswith("files"):
            assert hashlib.sha256(body).hexdigest() == sent.sha256
