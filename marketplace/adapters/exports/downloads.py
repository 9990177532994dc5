"""The files of an export: one by one with ranges, so that gigabytes can be resumed, or all in one stored zip."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import IO

from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseNotModified
from zipstream import ZIP_STORED, ZipStream

from inference_worker.contracts.common import OutputFile
from inference_worker.errors import BlobMissing
from marketplace import policy
from marketplace.adapters.exports.selectors import get_export, result_of, version_of
from marketplace.core.errors import Conflict, NotFound, Unavailable
from marketplace.core.sending import attachment_headers, chunks_of, content_type_of, matches, send_chunks, send_file
from marketplace.core.store import blob_store
from marketplace.jobs.models import Job


def export_file(request: HttpRequest, user: policy.Person, export_id: str, path: str) -> HttpResponseBase:
    """One file of the user's own export, as long as they may download the adapter."""
    job = _loadable(user, export_id)
    file = next((file for file in result_of(job).files if file.path == path), None)
    if file is None:
        raise NotFound(f"The export has no file {path}.")
    headers = attachment_headers(
        filename=path.rpartition("/")[2], content_type=content_type_of(path), etag=f'"{file.sha256}"'
    )
    return send_file(request, open_file=partial(_open, file), size=file.size, headers=headers)


def export_archive(request: HttpRequest, user: policy.Person, export_id: str) -> HttpResponseBase:
    """All files in one zip, without compression, which weights would not gain by."""
    job = _loadable(user, export_id)
    adapter = version_of(job).adapter
    folder = f"{adapter.owner.username}-{adapter.name}-{job.subject['format']}"
    etag = f'"{job.pk}.zip"'
    headers = attachment_headers(filename=f"{folder}.zip", content_type="application/zip", etag=etag)
    if matches(request.headers.get("If-None-Match", ""), etag):
        return HttpResponseNotModified(headers=headers)
    archive = ZipStream(compress_type=ZIP_STORED, sized=True)
    for file in result_of(job).files:
        if not blob_store().has(file.sha256):
            raise _missing(file)
        archive.add(_lazily(file), f"{folder}/{file.path}", size=file.size)
    headers["Content-Length"] = str(len(archive))
    if request.method == "HEAD":
        return HttpResponse(headers=headers)
    return send_chunks(request, iter(archive), lambda: None, 200, headers)


def _loadable(user: policy.Person, export_id: str) -> Job:
    job = get_export(user=user, export_id=export_id)
    if job.state != Job.State.SUCCEEDED:
        raise Conflict("This export is not finished.", code="export_not_finished")
    version = version_of(job)
    policy.require(user, policy.Action.DOWNLOAD, version.adapter, version=version)
    return job


def _open(file: OutputFile, start: int = 0) -> IO[bytes]:
    try:
        return blob_store().open(file.sha256)
    except BlobMissing as error:
        raise _missing(file) from error


def _lazily(file: OutputFile) -> Iterator[bytes]:
    """Opened when its turn comes, so that a zip holds one file open at a time."""
    with _open(file) as stream:
        yield from chunks_of(stream, file.size)


def _missing(file: OutputFile) -> Unavailable:
    return Unavailable(f"The bytes of {file.path} are missing from the store. Delete the export and make it again.")
