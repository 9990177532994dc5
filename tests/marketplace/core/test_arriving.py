"""Bodies that are read while they arrive."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from marketplace.core import arriving
from marketplace.core.arriving import ArrivingBody, BodyTooLarge, StreamingASGIHandler


def _messages(parts: Iterable[bytes], *, lost: bool = False) -> list[dict[str, Any]]:
    found = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    if lost:
        return [*found, {"type": "http.disconnect"}]
    return [*found, {"type": "http.request"}]


def _body(messages: list[dict[str, Any]], limit: int | None = None) -> ArrivingBody:
    waiting = iter(messages)

    async def receive() -> dict[str, Any]:
        message = next(waiting, None)
        if message is None:
            await asyncio.Event().wait()
        assert message is not None
        return message

    return ArrivingBody(receive, limit)


@pytest.mark.parametrize("size", [1, 3, 4, 7, 100])
async def test_reads_of_any_size_give_the_same_bytes(size: int) -> None:
    body = _body(_messages([b"abc", b"", b"defghij", b"k"]))

    def read() -> bytes:
        parts = []
        while part := body.read(size):
            assert len(part) <= size
            parts.append(part)
        return b"".join(parts)

    assert await asyncio.to_thread(read) == b"abcdefghijk"


async def test_everything_and_lines() -> None:
    assert await asyncio.to_thread(_body(_messages([b"ab", b"cd"])).read) == b"abcd"
    body = _body(_messages([b"one\ntw", b"o\n", b"rest"]))

    def lines() -> list[bytes]:
        return [body.readline(), body.readline(2), body.readline(), body.readline(), body.readline()]

    assert await asyncio.to_thread(lines) == [b"one\n", b"tw", b"o\n", b"rest", b""]


async def test_a_lost_sender_is_an_error_and_is_told_to_django() -> None:
    body = _body(_messages([b"abc"], lost=True))
    assert await asyncio.to_thread(body.read, 2) == b"ab"
    assert await asyncio.to_thread(body.read, 2) == b"c"
    with pytest.raises(OSError, match="has gone"):
        await asyncio.to_thread(body.read, 2)
    with pytest.raises(OSError, match="has gone"):
        await asyncio.to_thread(body.read)
    assert (await body.receive_after())["type"] == "http.disconnect"


async def test_django_hears_of_a_disconnect_only_after_the_body() -> None:
    body = _body([*_messages([b"abc"]), {"type": "http.disconnect"}])
    listening = asyncio.create_task(body.receive_after())
    await asyncio.sleep(0)
    assert not listening.done()
    assert await asyncio.to_thread(body.read) == b"abc"
    assert (await listening)["type"] == "http.disconnect"


async def test_closing_wakes_up_a_reader() -> None:
    body = _body([])
    reading = threading.Event()
    faults: list[BaseException] = []

    def read() -> None:
        reading.set()
        try:
            body.read(1)
        except OSError as fault:
            faults.append(fault)

    thread = threading.Thread(target=read)
    thread.start()
    await asyncio.to_thread(reading.wait)
    while body._waiting is None:
        await asyncio.sleep(0)
    body.close()
    await asyncio.to_thread(thread.join, 10)
    assert not thread.is_alive()
    assert len(faults) == 1


async def test_silence_ends(settings: Any) -> None:
    settings.UPLOAD_SILENCE_SECONDS = 0.05
    with pytest.raises(OSError, match="did not arrive"):
        await asyncio.to_thread(_body([]).read, 1)


async def test_a_trickle_ends_whatever_came_before(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(float(second) for second in range(1000))
    monkeypatch.setattr(arriving.time, "monotonic", lambda: next(clock))
    settings.UPLOAD_MIN_BYTES_PER_SECOND = 10
    # Every message takes a second. The first window brings 3 kB, the second one a byte per second.
    body = _body(_messages([b"x" * 100] * 30 + [b"x"] * 40))
    assert len(await asyncio.to_thread(body.read, 3000)) == 3000
    assert len(await asyncio.to_thread(body.read, 100)) < 40
    with pytest.raises(OSError, match="too slow"):
        await asyncio.to_thread(body.read, 100)


async def test_time_that_the_view_takes_does_not_count(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arriving, "PACE_SECONDS", 0.2)
    settings.UPLOAD_MIN_BYTES_PER_SECOND = 10**9
    body = _body(_messages([b"x"] * 3))
    released = threading.Event()

    def read() -> bytes:
        first = body.read(1)
        released.wait(0.5)
        return first + body.read(5)

    assert await asyncio.to_thread(read) == b"xxx"


async def test_nobody_gets_a_large_body_whole(settings: Any) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 8
    assert await asyncio.to_thread(_body(_messages([b"abcd"] * 2)).read) == b"abcdabcd"
    with pytest.raises(BodyTooLarge, match="larger than 8 bytes"):
        await asyncio.to_thread(_body(_messages([b"abcd"] * 3)).read)


async def test_reading_in_the_loop_is_a_bug_not_a_standstill() -> None:
    with pytest.raises(RuntimeError, match="synchronous"):
        _body(_messages([b"abc"])).read(1)


async def test_a_body_without_stated_length_ends_at_the_limit() -> None:
    body = _body(_messages([b"abcd"] * 3), limit=8)
    assert await asyncio.to_thread(body.read, 8) == b"abcdabcd"
    with pytest.raises(BodyTooLarge, match="larger than 8 bytes") as caught:
        await asyncio.to_thread(body.read)
    assert caught.value.status == 413


FILE_PART = (
    b'--brick\r\nContent-Disposition: form-data; name="x"; filename="x.bin"\r\n'
    b"Content-Type: application/octet-stream\r\n\r\n"
)


async def _post(path: str, parts: Iterable[bytes], headers: dict[str, str]) -> tuple[int, bytes, int]:
    """Status, body, and how many parts were taken from the sender."""
    waiting = iter(parts)
    sent: list[dict[str, Any]] = []
    taken = 0

    async def receive() -> dict[str, Any]:
        nonlocal taken
        part = next(waiting, None)
        if part is None:
            return {"type": "http.request", "body": b"", "more_body": False}
        taken += 1
        return {"type": "http.request", "body": part, "more_body": True}

    async def send(message: Any) -> None:
        sent.append(dict(message))

    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    await StreamingASGIHandler()(scope, receive, send)
    body = b"".join(message.get("body", b"") for message in sent[1:])
    return sent[0]["status"], body, taken


def _endless(part: bytes) -> Iterable[bytes]:
    yield FILE_PART
    for _ in range(2000):
        yield part


@pytest.mark.django_db
async def test_a_stranger_cannot_fill_the_disk_with_a_form_that_takes_no_files(
    tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The CSRF check reads the form before any view: no byte of the file may be kept, whatever the address."""
    settings.FILE_UPLOAD_TEMP_DIR = str(tmp_path)
    settings.FILE_UPLOAD_MAX_MEMORY_SIZE = 1
    headers = {"host": "localhost", "content-type": "multipart/form-data; boundary=brick", "cookie": "csrftoken=x"}
    for path in ("/account/login/", "/admin/login/", "/nowhere"):
        status, _, taken = await _post(path, _endless(bytes(1 << 16)), headers)
        assert status in (400, 403, 404), path
        assert taken < 10, path
    assert list(tmp_path.iterdir()) == []


async def test_a_stated_length_beyond_every_limit_is_refused_unread(settings: Any) -> None:
    settings.UPLOAD_MAX_BYTES = 1000
    headers = {
        "host": "localhost",
        "content-type": "multipart/form-data; boundary=brick",
        "content-length": str(1000 + arriving.MARGIN_BYTES + 1),
    }
    status, body, taken = await _post("/upload", _endless(b"x"), headers)
    assert (status, json.loads(body)["code"], taken) == (413, "too_large", 0)


@pytest.mark.parametrize("content_type", ["multipart/form-data; boundary=brick", "Application/JSON"])
async def test_a_body_in_chunks_without_a_length_is_refused_in_words(content_type: str) -> None:
    headers = {"host": "localhost", "content-type": content_type, "transfer-encoding": "chunked"}
    status, body, taken = await _post("/api/v1/uploads/", _endless(b"x"), headers)
    answer = json.loads(body)
    assert (status, answer["code"], taken) == (411, "length_required", 0)
    assert "Content-Length" in answer["message"]
