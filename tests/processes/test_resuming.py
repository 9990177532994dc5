"""Uploads that go on: a killed web process, clients that other people wrote, senders who trickle, downloads."""

from __future__ import annotations

import hashlib
import http.client
import io
import logging
import random
import shutil
import socket
import subprocess
import time
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from django.conf import LazySettings
from moto.server import ThreadedMotoServer
from s3fs import S3FileSystem
from tusclient.client import TusClient
from tusclient.exceptions import TusCommunicationError

from benchmarks.upload import MEGABYTE, peak, reset_peak, resident
from inference_worker.blobs import BlobStore
from inference_worker.blobs.multipart import PART_BYTES
from marketplace.accounts.models import User
from marketplace.accounts.services import create_token
from marketplace.adapters import services
from marketplace.adapters.models import Adapter, PartialUpload, Upload
from tests.processes.fleet import PATIENCE
from tests.processes.web import Web

pytestmark = [pytest.mark.processes, pytest.mark.django_db(transaction=True)]

CONFIG = (
    b'{"peft_type": "LORA", "base_model_name_or_path": "none", "r": 8, "lora_alpha": 8, "target_modules": ["q_proj"]}'
)
PIECE = "application/offset+octet-stream"


@pytest.fixture
def web(transactional_db: None, tmp_path: Path) -> Iterator[Web]:
    web = Web(tmp_path, UPLOAD_SILENCE_SECONDS="6")
    web.start()
    yield web
    web.kill()


@pytest.fixture
def token(owner: User) -> str:
    return create_token(user=owner, name="t", scope="write")[1]


@pytest.fixture
def api(web: Web, token: str) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {token}", "Tus-Resumable": "1.0.0"}
    with httpx.Client(base_url=web.url, headers=headers, timeout=PATIENCE) as client:
        yield client


def _weights(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def _begin(api: httpx.Client, name: str, length: int) -> str:
    metadata = f"filename {b64encode(name.encode()).decode()}"
    answer = api.post("/api/v1/uploads/tus/", headers={"Upload-Length": str(length), "Upload-Metadata": metadata})
    assert answer.status_code == 201, answer.text
    return answer.headers["Location"]


def _offset(api: httpx.Client, path: str) -> int:
    return int(api.head(path).raise_for_status().headers["Upload-Offset"])


def _open_piece(web: Web, token: str, path: str, offset: int, length: int) -> http.client.HTTPConnection:
    connection = http.client.HTTPConnection("127.0.0.1", web.port, timeout=PATIENCE)
    connection.putrequest("PATCH", path)
    for name, value in {
        "Authorization": f"Bearer {token}",
        "Tus-Resumable": "1.0.0",
        "Content-Type": PIECE,
        "Upload-Offset": str(offset),
        "Content-Length": str(length),
    }.items():
        connection.putheader(name, value)
    connection.endheaders()
    return connection


def _wait_for_offset(api: httpx.Client, path: str, offset: int) -> None:
    until = time.monotonic() + PATIENCE
    while _offset(api, path) < offset:
        assert time.monotonic() < until
        time.sleep(0.02)


def _finish(api: httpx.Client, paths: list[str]) -> dict[str, str]:
    """Path → sha256 of the upload's files."""
    answer = api.post("/api/v1/uploads/", json={"parts": [path.split("/")[-2] for path in paths]})
    assert answer.status_code == 201, answer.text
    return {file["path"]: file["sha256"] for file in answer.json()["files"]}


def test_a_killed_web_process_loses_nothing_that_arrived(web: Web, api: httpx.Client, token: str) -> None:
    data = _weights(24 * MEGABYTE)
    config, weights = (
        _begin(api, "adapter_config.json", len(CONFIG)),
        _begin(api, "adapter_model.safetensors", len(data)),
    )
    api.patch(config, content=CONFIG, headers={"Content-Type": PIECE, "Upload-Offset": "0"}).raise_for_status()
    sender = _open_piece(web, token, weights, 0, len(data))
    sender.send(data[: 10 * MEGABYTE])
    _wait_for_offset(api, weights, 9 * MEGABYTE)
    web.kill()
    sender.close()
    web.start()
    offset = _offset(api, weights)
    assert 9 * MEGABYTE <= offset <= 10 * MEGABYTE
    # At once: the lock went with its process.
    answer = api.patch(weights, content=data[offset:], headers={"Content-Type": PIECE, "Upload-Offset": str(offset)})
    assert answer.status_code == 204, answer.text
    stored = _finish(api, [config, weights])
    assert stored["adapter_model.safetensors"] == hashlib.sha256(data).hexdigest()
    with BlobStore(f"file://{web.blobs}").open(stored["adapter_model.safetensors"]) as blob:
        assert blob.read() == data
    assert list((web.blobs / "partial").iterdir()) == []


def test_a_sender_who_goes_away_keeps_what_arrived(web: Web, api: httpx.Client, token: str) -> None:
    data = _weights(3 * MEGABYTE)
    path = _begin(api, "adapter_model.safetensors", len(data))
    sender = _open_piece(web, token, path, 0, len(data))
    sender.send(data[:MEGABYTE])
    # The web process takes a quarter of a MiB at a time.
    _wait_for_offset(api, path, 3 << 18)
    piece = {"Content-Type": PIECE, "Upload-Offset": str(MEGABYTE)}
    assert api.patch(path, content=b"x", headers=piece).status_code == 423
    assert sender.sock is not None
    sender.sock.shutdown(socket.SHUT_WR)
    sender.close()
    _wait_for_offset(api, path, MEGABYTE)
    until = time.monotonic() + PATIENCE
    while (answer := api.patch(path, content=data[MEGABYTE:], headers=piece)).status_code != 204:
        assert (answer.status_code, time.monotonic() < until) == (423, True), answer.text
        time.sleep(0.05)
    assert PartialUpload.objects.get().sha256 == hashlib.sha256(data).hexdigest()


def test_a_silent_sender_is_sent_away_and_may_go_on(web: Web, api: httpx.Client, token: str) -> None:
    path = _begin(api, "adapter_model.safetensors", 1000)
    sender = _open_piece(web, token, path, 0, 1000)
    sender.send(b"x" * 600)
    answer = sender.getresponse()
    assert answer.status == 408
    sender.close()
    assert _offset(api, path) == 600
    answer = api.patch(path, content=b"y" * 400, headers={"Content-Type": PIECE, "Upload-Offset": "600"})
    assert answer.status_code == 204


def test_what_cannot_be_taken_is_said_before_the_body(web: Web, api: httpx.Client, token: str) -> None:
    path = _begin(api, "adapter_model.safetensors", 50 * MEGABYTE)
    for where, offset, bearer, status in (
        (path, 7, token, 409),
        (path, 0, "by_x", 401),
        ("/api/v1/uploads/tus/00000000-0000-4000-8000-000000000000/", 0, token, 404),
    ):
        sender = _open_piece(web, bearer, where, offset, 50 * MEGABYTE)
        assert sender.getresponse().status == status
        sender.close()


def test_a_large_file_costs_little_memory(web: Web, api: httpx.Client, token: str) -> None:
    data = _weights(128 * MEGABYTE)
    warm = _begin(api, "warm", 1000)
    api.patch(warm, content=bytes(1000), headers={"Content-Type": PIECE, "Upload-Offset": "0"}).raise_for_status()
    path = _begin(api, "adapter_model.safetensors", len(data))
    before = resident(web.pid)
    reset_peak(web.pid)
    api.patch(path, content=data, headers={"Content-Type": PIECE, "Upload-Offset": "0"}).raise_for_status()
    # Half of the file: the libraries' pages, which the kernel drops and fetches again as it likes, count as well.
    assert peak(web.pid) - before < 64 * 2**20
    assert PartialUpload.objects.get(path="adapter_model.safetensors").sha256 == hashlib.sha256(data).hexdigest()


def test_tuspy_in_chunks_over_a_restart(web: Web, api: httpx.Client, token: str) -> None:
    """The Python client of the protocol's authors, with a checksum for each chunk."""
    data = _weights(5 * MEGABYTE, seed=2)
    client = TusClient(f"{web.url}/api/v1/uploads/tus/", headers={"Authorization": f"Bearer {token}"})
    options = {"chunk_size": MEGABYTE, "upload_checksum": True}
    sending = client.uploader(
        file_stream=io.BytesIO(data), metadata={"filename": "adapter_model.safetensors"}, **options
    )
    sending.upload_chunk()
    sending.upload_chunk()
    web.kill()
    with pytest.raises(TusCommunicationError):
        sending.upload_chunk()
    web.start()
    going_on = client.uploader(file_stream=io.BytesIO(data), url=sending.url, **options)
    assert going_on.offset == 2 * MEGABYTE
    going_on.upload()
    config = client.uploader(file_stream=io.BytesIO(CONFIG), metadata={"filename": "adapter_config.json"})
    config.upload()
    stored = _finish(api, [going_on.url, config.url])
    assert stored["adapter_model.safetensors"] == hashlib.sha256(data).hexdigest()


@pytest.fixture
def bucket_web(transactional_db: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    """A web process whose blobs live in a bucket of a server that speaks S3."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    S3FileSystem.clear_instance_cache()
    S3FileSystem().call_s3("create_bucket", Bucket="brickyard")
    web = Web(tmp_path, BLOB_STORE_URL="s3://brickyard/site", UPLOAD_SILENCE_SECONDS="6")
    web.start()
    yield web
    web.kill()
    server.stop()
    S3FileSystem.clear_instance_cache()


def test_a_bucket_takes_parts_and_goes_on_after_a_kill(bucket_web: Web, token: str, tmp_path: Path) -> None:
    data = _weights(21 * MEGABYTE, seed=7)
    headers = {"Authorization": f"Bearer {token}", "Tus-Resumable": "1.0.0"}
    with httpx.Client(base_url=bucket_web.url, headers=headers, timeout=PATIENCE) as api:
        config = _begin(api, "adapter_config.json", len(CONFIG))
        api.patch(config, content=CONFIG, headers={"Content-Type": PIECE, "Upload-Offset": "0"}).raise_for_status()
        weights = _begin(api, "adapter_model.safetensors", len(data))
        # A pause in the first part, then a kill in the second: the first part and the rest of it are in the bucket.
        piece = {"Content-Type": PIECE, "Upload-Offset": "0"}
        api.patch(weights, content=data[: 3 * MEGABYTE], headers=piece).raise_for_status()
        sender = _open_piece(bucket_web, token, weights, 3 * MEGABYTE, len(data) - 3 * MEGABYTE)
        sender.send(data[3 * MEGABYTE : 12 * MEGABYTE])
        _wait_for_offset(api, weights, PART_BYTES)
        bucket_web.kill()
        sender.close()
        bucket_web.start()
        offset = _offset(api, weights)
        assert offset == PART_BYTES
        piece = {"Content-Type": PIECE, "Upload-Offset": str(offset)}
        api.patch(weights, content=data[offset:], headers=piece).raise_for_status()
        stored = _finish(api, [config, weights])
    digest = hashlib.sha256(data).hexdigest()
    assert stored["adapter_model.safetensors"] == digest
    store = BlobStore("s3://brickyard/site", cache=tmp_path / "cache")
    with store.open(digest) as blob:
        assert blob.read() == data
    assert store.sweep_partials((), time.time() + 60) == 0


@pytest.fixture
def published(web: Web, api: httpx.Client, owner: User, settings: LazySettings) -> bytes:
    """The weights of ``ada/large``."""
    settings.BLOB_STORE_URL = f"file://{web.blobs}"
    data = _weights(8 * MEGABYTE, seed=3)
    paths = []
    for name, content in {"adapter_config.json": CONFIG, "adapter_model.safetensors": data}.items():
        paths.append(_begin(api, name, len(content)))
        api.patch(paths[-1], content=content, headers={"Content-Type": PIECE, "Upload-Offset": "0"}).raise_for_status()
    _finish(api, paths)
    services.publish_upload(user=owner, upload=Upload.objects.get(), name="large")
    assert Adapter.objects.get().full_name == "ada/large"
    return data


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("path", ["files/main/adapter_model.safetensors", "archive/main.zip"])
def test_curl_goes_on_with_a_download(web: Web, token: str, published: bytes, tmp_path: Path, path: str) -> None:
    address = f"{web.url}/api/v1/adapters/ada/large/{path}"
    headers = {"Authorization": f"Bearer {token}"}
    whole = httpx.get(address, headers=headers).raise_for_status().content
    target = tmp_path / "download"
    # Broken off in the middle, as if the connection had gone.
    with httpx.stream("GET", address, headers=headers) as answer, target.open("wb") as file:
        for chunk in answer.iter_bytes():
            file.write(chunk)
            if file.tell() > 3 * MEGABYTE:
                break
    assert target.stat().st_size < len(whole)
    curl = ["curl", "--silent", "--show-error", "--fail", "--header", f"Authorization: Bearer {token}"]
    subprocess.run([*curl, "--continue-at", "-", "--output", target, address], check=True)
    assert target.read_bytes() == whole
    assert published in whole
