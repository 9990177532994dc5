"""Bytes to whoever asks for them: validators, one range, streams that hold nobody up (RFC 9110, 13 and 14).

User files are never rendered by a browser here: attachment, nosniff, and a sandboxing content security policy.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from typing import IO
from urllib.parse import quote

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseNotModified, StreamingHttpResponse

from marketplace.core.connections import release_connections

CHUNK = 1 << 18
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


class AsyncChunks:
    """Blocking chunks for an asynchronous server: each is read in a thread, so that one slow disk stops nobody."""

    def __init__(self, chunks: Iterator[bytes], close: Callable[[], None]) -> None:
        self._chunks = chunks
        self.close = close

    def __aiter__(self) -> AsyncChunks:
        return self

    async def __anext__(self) -> bytes:
        chunk = await asyncio.to_thread(next, self._chunks, b"")
        if not chunk:
            raise StopAsyncIteration
        return chunk


class _Closing:
    """The same for a synchronous server."""

    def __init__(self, chunks: Iterator[bytes], close: Callable[[], None]) -> None:
        self._chunks = chunks
        self.close = close

    def __iter__(self) -> Iterator[bytes]:
        return self._chunks


def attachment_headers(*, filename: str, content_type: str, etag: str) -> dict[str, str]:
    """Headers of a file that a person made."""
    plain = filename.encode("ascii", "replace").decode().replace("\\", "_").replace('"', "_").replace("?", "_")
    return {
        "Content-Type": content_type,
        "Content-Disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(filename, safe='')}",
        "ETag": etag,
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox; default-src 'none'",
        # Whoever may see it today may not tomorrow (quarantine), so every use is asked for again.
        "Cache-Control": "private, no-cache",
        "Vary": "Authorization, Cookie",
    }


def content_type_of(path: str) -> str:
    if path.endswith(".md"):
        return "text/markdown; charset=utf-8"
    return "application/json" if path.endswith(".json") else "application/octet-stream"


def send_file(
    request: HttpRequest, *, open_file: Callable[[int], IO[bytes]], size: int, headers: dict[str, str]
) -> HttpResponseBase:
    """``size`` bytes of a file: 200, 206 for one range, 304 when the sender has it, 416 for a range outside.

    ``headers`` hold the ``ETag``. ``open_file`` is called with the first byte's position once bytes are sent.
    """
    etag = headers["ETag"]
    headers = {**headers, "Accept-Ranges": "bytes"}
    if matches(request.headers.get("If-None-Match", ""), etag):
        return HttpResponseNotModified(headers=headers)
    span = _span(request, size, etag)
    if span is None:
        return HttpResponse(status=416, headers={**headers, "Content-Range": f"bytes */{size}"})
    start, length = span
    if length != size:
        headers["Content-Range"] = f"bytes {start}-{start + length - 1}/{size}"
    headers["Content-Length"] = str(length)
    status = 200 if length == size else 206
    if request.method == "HEAD":
        return HttpResponse(status=status, headers=headers)
    stream = open_file(start)
    stream.seek(start)
    return send_chunks(request, chunks_of(stream, length), stream.close, status, headers)


def send_chunks(
    request: HttpRequest, chunks: Iterator[bytes], close: Callable[[], None], status: int, headers: dict[str, str]
) -> StreamingHttpResponse:
    # Slow readers would hold a connection each until their answer ends.
    release_connections()
    body = AsyncChunks(chunks, close) if isinstance(request, ASGIRequest) else _Closing(chunks, close)
    return StreamingHttpResponse(body, status=status, headers=headers)


def chunks_of(stream: IO[bytes], length: int) -> Iterator[bytes]:
    while length > 0 and (chunk := stream.read(min(CHUNK, length))):
        length -= len(chunk)
        yield chunk


def matches(header: str, etag: str) -> bool:
    """RFC 9110, 13.1.2: a list of tags or ``*``, compared weakly."""
    tags = [tag.strip().removeprefix("W/") for tag in header.split(",")]
    return etag in tags or "*" in tags


def _span(request: HttpRequest, size: int, etag: str) -> tuple[int, int] | None:
    """(start, length) that is asked for; the whole file without a range that counts; None for one outside of it."""
    whole = (0, size)
    condition = request.headers.get("If-Range", "")
    match = _RANGE.fullmatch(request.headers.get("Range", "").replace(" ", ""))
    if match is None or (condition and condition != etag):
        return whole
    first, last = match[1], match[2]
    if max(len(first), len(last)) > 18 or not (first or last):
        return whole
    if not first:
        count = min(int(last), size)
        return (size - count, count) if count else None
    start = int(first)
    end = min(int(last), size - 1) if last else size - 1
    if last and int(last) < start:
        return whole
    return (start, end - start + 1) if start < size else None
