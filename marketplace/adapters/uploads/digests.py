"""Digests of files that arrive in pieces.

A hash cannot be written down half-way, so its state stays in this process between the pieces. When the next piece
arrives elsewhere, or after a restart, the state is missing, and the whole file is read back once at its end.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from typing import IO
from uuid import UUID

from inference_worker.blobs import CHUNK

#: How many files' states one process keeps; each has a few hundred bytes.
KEPT = 512


class Digests:
    """sha256, and sha1 of git's blob object, of the first ``offset`` bytes of a file of ``length`` bytes."""

    def __init__(self, length: int) -> None:
        self.offset = 0
        self._sha256 = hashlib.sha256()
        self._git = hashlib.sha1(b"blob %d\0" % length, usedforsecurity=False)

    def update(self, data: bytes) -> None:
        self._sha256.update(data)
        self._git.update(data)
        self.offset += len(data)

    def copy(self) -> Digests:
        twin = Digests(0)
        twin.offset, twin._sha256, twin._git = self.offset, self._sha256.copy(), self._git.copy()
        return twin

    @property
    def sha256(self) -> str:
        return self._sha256.hexdigest()

    @property
    def git_sha1(self) -> str:
        return self._git.hexdigest()

    @classmethod
    def of(cls, file: IO[bytes], length: int) -> Digests:
        """Read back what arrived."""
        found = cls(length)
        while chunk := file.read(CHUNK):
            found.update(chunk)
        return found


_kept: OrderedDict[UUID, Digests] = OrderedDict()
_lock = threading.Lock()


def take(key: UUID, offset: int, length: int) -> Digests | None:
    """The state at ``offset``, if it is known here; nobody else gets it meanwhile."""
    with _lock:
        found = _kept.pop(key, None)
    if offset == 0:
        return Digests(length)
    return found if found is not None and found.offset == offset else None


def keep(key: UUID, digests: Digests) -> None:
    with _lock:
        _kept[key] = digests
        while len(_kept) > KEPT:
            _kept.popitem(last=False)
