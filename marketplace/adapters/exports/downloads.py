"""The files of an export: one by one or all in one stored zip, with ranges, so that gigabytes can be resumed."""

from __future__ import annotations

from functools import partial
from typing import IO, cast

from django.http import HttpRequest, HttpResponseBase

from inference_worker.contracts.common import OutputFile
from inference_worker.errors import BlobMissing
from marketplace import policy
from marketplace.adapters.downloads import Checksums, zip_etag
from marketplace.adapters.exports.selectors import get_export, result_of, version_of
from marketplace.core.errors import Conflict, NotFound, Unavailable
from marketplace.core.sending import attachment_headers, content_type_of, send_file
from marketplace.core.store import blob_store
from marketplace.core.stored_zip import Entry, StoredZip
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
    headers = attachment_headers(
        filename=f"{folder}.zip", content_type="application/zip", etag=zip_etag(str(job.pk), folder)
    )
    files = result_of(job).files
    for file in files:
        if not blob_store().has(file.sha256):
            raise _missing(file)
    entries = [Entry(f"{folder}/{file.path}", file.size, file.sha256, partial(_open, file)) for file in files]
    archive = StoredZip(entries, job.finished_at or job.created_at, Checksums())
    return send_file(request, open_file=lambda start: cast(IO[bytes], archive), size=archive.size, headers=headers)


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


def _missing(file: OutputFile) -> Unavailable:
    return Unavailable(f"The bytes of {file.path} are missing from the store. Delete the export and make it again.")
