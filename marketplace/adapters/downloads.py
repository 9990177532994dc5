"""Files of a version: one by one with ETag, Range and HEAD, or all in one zip. Used by REST and pages alike."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, MutableMapping
from functools import partial
from typing import IO, cast

from django.core.cache import cache
from django.db.models import F
from django.http import HttpRequest, HttpResponseBase

from inference_worker.errors import BlobMissing
from marketplace import policy
from marketplace.adapters import selectors
from marketplace.adapters.gone import is_gone
from marketplace.adapters.models import Adapter, Blob, Version, VersionFile
from marketplace.adapters.standing import require_offered, standing_headers
from marketplace.adapters.uploads.selection import WEIGHTS
from marketplace.core.errors import AppError, Gone, NotFound, Unavailable
from marketplace.core.sending import attachment_headers, content_type_of, send_file
from marketplace.core.store import blob_store
from marketplace.core.stored_zip import Entry, StoredZip


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
    blob = file.blob
    if is_gone(file):
        raise _missing(blob)
    headers = _headers(version, etag_of(file), file.path.rpartition("/")[2], content_type_of(file.path))

    def opened(start: int) -> IO[bytes]:
        stream = _open(blob)
        if path == WEIGHTS and start == 0:
            count_download(version.adapter_id)
        return stream

    return send_file(request, open_file=opened, size=blob.size, headers=headers)


def zip_response(request: HttpRequest, user: policy.Person, owner: str, name: str, revision: str) -> HttpResponseBase:
    """All files of a revision as one stored (not compressed) zip, in a folder of the adapter's name.

    The bytes follow from the revision and the folder's name alone, so it is served by ranges like a file. The ETag has
    the folder as well: after a rename or a transfer the rest would not fit what was loaded before.
    """
    version = _downloadable(user, owner, name, revision)
    files = list(selectors.files_of(version))
    folder = f"{version.adapter.owner.username}-{version.adapter.name}-{version.commit[:8]}"
    headers = _headers(version, zip_etag(version.commit, folder), f"{folder}.zip", "application/zip")
    for file in files:
        if not blob_store().has(file.blob_id):
            raise _missing(file.blob)
    entries = [
        Entry(f"{folder}/{file.path}", file.blob.size, file.blob_id, partial(_open, file.blob)) for file in files
    ]
    archive = StoredZip(entries, version.created_at, Checksums())

    def opened(start: int) -> IO[bytes]:
        if start == 0:
            count_download(version.adapter_id)
        return cast(IO[bytes], archive)

    return send_file(request, open_file=opened, size=archive.size, headers=headers)


class Checksums(MutableMapping[str, int]):
    """CRC-32 of blobs by their sha256, as far as the site's cache remembers them."""

    def __getitem__(self, sha256: str) -> int:
        found = cache.get(f"crc32:{sha256}")
        if found is None:
            raise KeyError(sha256)
        return int(found)

    def __setitem__(self, sha256: str, crc: int) -> None:
        cache.set(f"crc32:{sha256}", crc, timeout=7 * 86_400)

    def __delitem__(self, sha256: str) -> None:
        cache.delete(f"crc32:{sha256}")

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def etag_of(file: VersionFile) -> str:
    """The quoted git-blob sha1, and the sha256 for the weights, as the model hubs do."""
    return f'"{file.blob.sha256 if file.path == WEIGHTS else file.blob.git_sha1}"'


def zip_etag(content: str, folder: str) -> str:
    """The ETag of ``content`` in a zip's ``folder``. Names may hold letters that a header cannot: a digest does not."""
    return f'"{content}-{hashlib.sha256(folder.encode()).hexdigest()[:16]}.zip"'


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
    require_offered(version, revision)
    return version


def _headers(version: Version, etag: str, filename: str, content_type: str) -> dict[str, str]:
    headers = attachment_headers(filename=filename, content_type=content_type, etag=etag)
    return {**headers, "X-Repo-Commit": version.commit, **standing_headers(version)}


def _open(blob: Blob) -> IO[bytes]:
    try:
        return blob_store().open(blob.sha256)
    except BlobMissing as error:
        raise _missing(blob) from error


def _missing(blob: Blob) -> AppError:
    if not blob.git_sha1:
        return Gone(f"The bytes {blob.sha256[:12]}… were blocked by a moderator and are deleted.", code="bytes_gone")
    return Unavailable(f"The bytes {blob.sha256[:12]}… are missing from the store. Tell the operator.")
