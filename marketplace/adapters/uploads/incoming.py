"""One file that arrived: its bytes lie in the blob store's scratch folder and are no blob yet."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from inference_worker.blobs import CHUNK, BlobInfo
from inference_worker.errors import StorageFull
from marketplace.core.errors import StorageIsFull
from marketplace.core.store import blob_store

HEAD_BYTES = 512


@contextlib.contextmanager
def room_in_store() -> Iterator[None]:
    """Say to people when the disk is full."""
    try:
        yield
    except StorageFull as error:
        raise StorageIsFull(error.message) from error


class ArrivedBytes(Protocol):
    """What an incoming file stands on: a ``BlobWriter``, or a file that arrived in pieces."""

    @property
    def size(self) -> int: ...

    def open(self) -> IO[bytes]: ...

    def finish(self) -> BlobInfo: ...

    def commit(self) -> BlobInfo: ...

    def discard(self) -> None: ...


class IncomingFile:
    """``path`` is what the sender calls it, with forward slashes. Ends by ``commit`` or ``discard``."""

    def __init__(self, path: str, writer: ArrivedBytes) -> None:
        self.path = path.replace("\\", "/")
        self._writer = writer

    @classmethod
    def receive(cls, path: str, chunks: Iterable[bytes], size: int | None = None) -> IncomingFile:
        """Write ``chunks`` to the scratch folder; what was written is discarded when they break off."""
        with room_in_store():
            writer = blob_store().writer(size)
            try:
                for chunk in chunks:
                    writer.write(chunk)
            except BaseException:
                writer.discard()
                raise
        return cls(path, writer)

    @classmethod
    def from_disk(cls, source: Path, path: str | None = None) -> IncomingFile:
        with source.open("rb") as file:
            return cls.receive(path or source.name, iter(lambda: file.read(CHUNK), b""), source.stat().st_size)

    @property
    def size(self) -> int:
        return self._writer.size

    def open(self) -> IO[bytes]:
        return self._writer.open()

    def read(self, limit: int) -> bytes:
        """The first ``limit`` bytes at most."""
        with self.open() as file:
            return file.read(limit)

    def finish(self) -> BlobInfo:
        """The digests; the bytes are still in the scratch folder."""
        with room_in_store():
            return self._writer.finish()

    def commit(self) -> BlobInfo:
        """Move the bytes under their digest."""
        with room_in_store():
            return self._writer.commit()

    def discard(self) -> None:
        """Forget the bytes; no fault after ``commit``."""
        self._writer.discard()


@dataclass(frozen=True)
class Candidate:
    """A file that may be picked: an uploaded one, or an entry of a zip that is unpacked only when it is picked.

    ``head`` has the first bytes, ``take`` gives the file itself (once).
    """

    path: str
    size: int
    head: bytes
    take: Callable[[], IncomingFile]

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def folder(self) -> str:
        return self.path.rpartition("/")[0]

    @classmethod
    def of(cls, file: IncomingFile) -> Candidate:
        return cls(file.path, file.size, file.read(HEAD_BYTES), lambda: file)
