"""A file that arrived in pieces, as one of the files of an upload."""

from __future__ import annotations

from typing import IO

from inference_worker.blobs import BlobInfo, Partial
from marketplace.adapters.models import PartialUpload
from marketplace.core.store import blob_store


def partial_of(row: PartialUpload) -> Partial:
    """The row's bytes in the store."""
    return blob_store().partial(row.pk.hex, row.length)


class ArrivedPart:
    """Stands behind an ``IncomingFile``. Committing leaves the piecewise file in place, so that an upload that fails
    afterwards can be tried again; whoever made the upload deletes it."""

    def __init__(self, row: PartialUpload) -> None:
        self._row = row
        self._partial = partial_of(row)

    @property
    def size(self) -> int:
        return self._row.length

    def open(self) -> IO[bytes]:
        return self._partial.open()

    def finish(self) -> BlobInfo:
        return BlobInfo(self._row.sha256, self._row.git_sha1, self._row.length)

    def commit(self) -> BlobInfo:
        self._partial.adopt(self._row.sha256)
        return self.finish()

    def discard(self) -> None:
        """The bytes stay until the upload that they belong to is made, discarded or expired."""
