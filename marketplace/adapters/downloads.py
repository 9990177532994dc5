"""Files of a version: one by one with ETag, Range and HEAD, or all in one zip. Used by REST and pages alike.

User files are never rendered by a browser here: attachment, nosniff, and a sandboxing content security policy.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from typing import IO
from urllib.parse import quote

from django.core.handlers.asgi import ASGIRequest
from django.db.models import F
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseNotModified, StreamingHttpResponse
from zipstream import ZIP_STORED, ZipStream

from inference_worker.errors import BlobMissing
from marketplace import policy
from marketplace.adapters import selectors
from marketplace.adapters.models import Adapter, Blob, Version, VersionFile
from marketplace.adapters.uploads.selection import WEIGHTS
from marketplace.core.connections import release_connections
from marketplace.core.errors import NotFound, Unavailable
from marketplace.core.store import blob_store

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


def file_response(
    request: HttpRequest, user: policy.Person, owner: str, name: str, revision: str, path: str
) -> HttpResponseBase:
    """One file of ``owner/name`` at ``revision`` (``main``, a commit or its first digits).

    200, 206 for one range, 304 when the sender has it, 416 for a range outside. Raises ``NotFound`` for whatever
    ``user`` may not see, and ``Forbidden`` (``access_required``) for a gated adapter's files.
    """
    version = _downloadable(user, owner, name, revision)
    file = selectors.files_of(version).filter(path=path).first()
    if file is None:
        raise NotFound(f"{owner}/{name} has no file {path} at this revision.", extra={"commit": version.commit})
    blob, etag = file.blob, etag_of(file)
    headers = _headers(version, etag, file.path.rpartition("/")[2], _type_of(file.path))
    headers["Accept-Ranges"] = "bytes"
    if _matches(request.headers.get("If-None-Match", ""), etag):
        return HttpResponseNotModified(headers=headers)
    span = _span(request, blob.size, etag)
    if span is None:
        headers["Content-Range"] = f"bytes */{blob.size}"
        return HttpResponse(status=416, headers=headers)
    start, length = span
    partial = length != blob.size
    if partial:
        headers["Content-Range"] = f"bytes {start}-{start + length - 1}/{blob.size}"
    headers["Content-Length"] = str(length)
    status = 206 if partial else 200
    if request.method == "HEAD":
        return HttpResponse(status=status, headers=headers)
    stream = _open(blob)
    if path == WEIGHTS and start == 0:
        count_download(version.adapter_id)
    stream.seek(start)
    return _streamed(request, _chunks(stream, length), stream.close, status, headers)


def zip_response(request: HttpRequest, user: policy.Person, owner: str, name: str, revision: str) -> HttpResponseBase:
    """All files of a revision as one stored (not compressed) zip, in a folder of the adapter's name."""
    version = _downloadable(user, owner, name, revision)
    files = list(selectors.files_of(version))
    folder = f"{version.adapter.owner.username}-{version.adapter.name}-{version.commit[:8]}"
    etag = f'"{version.commit}.zip"'
    headers = _headers(version, etag, f"{folder}.zip", "application/zip")
    if _matches(request.headers.get("If-None-Match", ""), etag):
        return HttpResponseNotModified(headers=headers)
    archive = ZipStream(compress_type=ZIP_STORED, sized=True)
    for file in files:
        if not blob_store().has(file.blob_id):
            raise _missing(file.blob)
        archive.add(_lazy_chunks(file.blob), f"{folder}/{file.path}", size=file.blob.size)
    headers["Content-Length"] = str(len(archive))
    if request.method == "HEAD":
        return HttpResponse(headers=headers)
    count_download(version.adapter_id)
    chunks = iter(archive)
    return _streamed(request, chunks, lambda: None, 200, headers)


def etag_of(file: VersionFile) -> str:
    """The quoted git-blob sha1, and the sha256 for the weights, as the model hubs do."""
    return f'"{file.blob.sha256 if file.path == WEIGHTS else file.blob.git_sha1}"'


def count_download(adapter_id: int) -> None:
    Adapter.objects.filter(pk=adapter_id).update(downloads=F("downloads") + 1)


def _downloadable(user: policy.Person, owner: str, name: str, revision: str) -> Version:
    adapter = selectors.get_adapter(user=user, owner=owner, name=name)
    policy.require(user, policy.Action.DOWNLOAD, adapter)
    version = selectors.get_version(adapter=adapter, revision=revision)
    # Earlier versions of an open adapter count only when they were accepted themselves.
    if not policy.may(user, policy.Action.DOWNLOAD, adapter, version=version):
        raise NotFound(f"{adapter.full_name} has no revision “{revision}”.")
    version.adapter = adapter
    return version


def _headers(version: Version, etag: str, filename: str, content_type: str) -> dict[str, str]:
    plain = filename.encode("ascii", "replace").decode().replace("\\", "_").replace('"', "_").replace("?", "_")
    return {
        "Content-Type": content_type,
        "Content-Disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(filename, safe='')}",
        "ETag": etag,
        "X-Repo-Commit": version.commit,
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox; default-src 'none'",
        # Whoever may see it today may not tomorrow (quarantine), so every use is asked for again.
        "Cache-Control": "private, no-cache",
        "Vary": "Authorization, Cookie",
    }


def _type_of(path: str) -> str:
    if path.endswith(".md"):
        return "text/markdown; charset=utf-8"
    return "application/json" if path.endswith(".json") else "application/octet-stream"


def _matches(header: str, etag: str) -> bool:
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


def _open(blob: Blob) -> IO[bytes]:
    try:
        return blob_store().open(blob.sha256)
    except BlobMissing as error:
        raise _missing(blob) from error


def _missing(blob: Blob) -> Unavailable:
    return Unavailable(f"The bytes {blob.sha256[:12]}… are missing from the store. Tell the operator.")


def _chunks(stream: IO[bytes], length: int) -> Iterator[bytes]:
    while length > 0 and (chunk := stream.read(min(CHUNK, length))):
        length -= len(chunk)
        yield chunk


def _lazy_chunks(blob: Blob) -> Iterator[bytes]:
    """Opened when its turn comes, so that a zip holds one file open at a time."""
    with blob_store().open(blob.sha256) as stream:
        yield from _chunks(stream, blob.size)


def _streamed(
    request: HttpRequest, chunks: Iterator[bytes], close: Callable[[], None], status: int, headers: dict[str, str]
) -> StreamingHttpResponse:
    # Slow readers would hold a connection each until their answer ends.
    release_connections()
    body = AsyncChunks(chunks, close) if isinstance(request, ASGIRequest) else _Closing(chunks, close)
    return StreamingHttpResponse(body, status=status, headers=headers)


class _Closing:
    """The same for a synchronous server."""

    def __init__(self, chunks: Iterator[bytes], close: Callable[[], None]) -> None:
        self._chunks = chunks
        self.close = close

    def __iter__(self) -> Iterator[bytes]:
        return self._chunks
