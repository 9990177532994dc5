"""Bytes on their way into the store."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from inference_worker.errors import StorageFull

if TYPE_CHECKING:
    from inference_worker.blobs.store import BlobStore

CHUNK = 1 << 20
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT}


@dataclass(frozen=True)
class BlobInfo:
    """What is known of stored bytes. ``git_sha1`` is the digest of git's blob object (header + bytes)."""

    sha256: str
    git_sha1: str
    size: int


@contextlib.contextmanager
def room() -> Iterator[None]:
    """Say in a word of the family that the disk is full."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise StorageFull("The disk of the blob store is full; free some space and try again.") from error
        raise


class BlobWriter:
    """Bytes on their way in. Nothing is visible under a digest until ``commit``; leaving without it discards.

    git's blob digest covers the length up front, so it needs ``size`` beforehand; without it ``commit`` reads the
    temporary file once more.
    """

    def __init__(self, store: BlobStore, size: int | None = None) -> None:
        self._store = store
        self._declared = size
        self._sha256 = hashlib.sha256()
        self._git = None if size is None else hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
        self._info: BlobInfo | None = None
        self.size = 0
        with room():
            store.scratch.mkdir(parents=True, exist_ok=True)
            self._path = store.scratch / uuid.uuid4().hex
            self._file: IO[bytes] = open(self._path, "xb")  # noqa: SIM115 (closed by commit and discard)

    def write(self, data: bytes) -> None:
        with room():
            self._file.write(data)
        self._sha256.update(data)
        if self._git is not None:
            self._git.update(data)
        self.size += len(data)

    def open(self) -> IO[bytes]:
        """The bytes written so far, as a seekable file of its own."""
        with room():
            if not self._file.closed:
                self._file.flush()
        return open(self._path, "rb")

    def finish(self) -> BlobInfo:
        """End the writing, make the bytes durable and say what they are. Nothing is visible before ``commit``."""
        if self._info is None:
            with room():
                self._file.flush()
                os.fsync(self._file.fileno())
            self._file.close()
            if self._git is None or self._declared != self.size:
                git = git_sha1_of(self._path, self.size)
            else:
                git = self._git.hexdigest()
            self._info = BlobInfo(self._sha256.hexdigest(), git, self.size)
        return self._info

    def commit(self) -> BlobInfo:
        """Make the bytes visible under their digest; identical bytes are stored once."""
        info = self.finish()
        try:
            self._store.adopt(self._path, info.sha256)
        finally:
            self._path.unlink(missing_ok=True)
        return info

    def discard(self) -> None:
        # Closing writes what is still buffered, for which a full disk has no room either; nobody wants it any more.
        with contextlib.suppress(OSError):
            self._file.close()
        self._path.unlink(missing_ok=True)

    def __enter__(self) -> BlobWriter:
        return self

    def __exit__(self, *exc: object) -> None:
        self.discard()


def git_sha1_of(path: Path, size: int) -> str:
    """sha1 of git's blob object of the file's bytes."""
    digest = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
