"""Fetched files, which a worker has put into the blob store already, as files that arrived."""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO

from inference_worker.blobs import BlobInfo
from inference_worker.contracts.common import OutputFile
from marketplace.adapters.uploads.incoming import IncomingFile
from marketplace.core.store import blob_store


@dataclass(frozen=True)
class StoredBytes:
    """``ArrivedBytes`` that need no moving; what is not picked is collected as bytes that nobody names."""

    file: OutputFile

    @property
    def size(self) -> int:
        return self.file.size

    def open(self) -> IO[bytes]:
        return blob_store().open(self.file.sha256)

    def finish(self) -> BlobInfo:
        return BlobInfo(self.file.sha256, self.file.git_sha1, self.file.size)

    def commit(self) -> BlobInfo:
        return self.finish()

    def discard(self) -> None:
        """Another upload may stand on the same bytes."""


def stored_file(file: OutputFile) -> IncomingFile:
    return IncomingFile(file.path, StoredBytes(file))
