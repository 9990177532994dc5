"""Files that arrive in pieces and survive restarts between them.

A store offers them by an id of the caller's (``BlobStore.partial``). The caller keeps a ``PartialState`` per file and
hands it back each time: on a disk the file itself knows how much arrived, in a bucket the state is all there is.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol

from inference_worker.blobs.writer import room
from inference_worker.errors import BlobMissing

if TYPE_CHECKING:
    from inference_worker.blobs.store import BlobStore


class PartialBusy(Exception):
    """Another request is writing to this file."""


@dataclass(frozen=True)
class PartialState:
    """What arrived. ``offset`` counts durable bytes; the rest describes a multipart upload of S3: its id, the ETags
    of the stored parts in order, and how many bytes lie in an object of their own because they fill no part yet."""

    offset: int = 0
    upload: str = ""
    parts: tuple[str, ...] = ()
    tail: int = 0


#: Called whenever more bytes became durable; may raise to end the writing.
Checkpoint = Callable[[PartialState], None]


class Sink(Protocol):
    """Takes bytes at the end of a partial file; ``state`` is complete once the context is left."""

    state: PartialState

    def write(self, data: bytes) -> None: ...


class Partial(Protocol):
    """One file that arrives in pieces. All but ``locked`` and ``open`` are to be called inside ``locked``."""

    def locked(self) -> contextlib.AbstractContextManager[None]:
        """Alone with the file; the lock ends with its process. Raises ``PartialBusy`` and ``BlobMissing``."""

    def current(self, state: PartialState) -> PartialState:
        """What really arrived, where ``state`` was written down last."""

    def append(self, state: PartialState, checkpoint: Checkpoint | None) -> contextlib.AbstractContextManager[Sink]:
        """Write behind ``state.offset``. Leaving it, also by an exception, keeps and makes durable what was written."""

    def undo(self, written: PartialState, state: PartialState) -> None:
        """Go back to ``state``, from before an ``append`` without checkpoints that ended with ``written``."""

    def seal(self, state: PartialState) -> None:
        """All bytes arrived: make them readable by ``open``."""

    def open(self) -> IO[bytes]:
        """The bytes as a seekable file; after ``seal``."""

    def adopt(self, sha256: str) -> None:
        """Make the bytes visible in the store under their digest; they stay here too, until ``delete``."""

    def delete(self, state: PartialState) -> None:
        """Forget the bytes; no fault when they are gone."""


@contextlib.contextmanager
def locked_file(path: Path, flags: int) -> Iterator[None]:
    """Hold the operating system's lock of ``path``, which ends with its process however that ends."""
    try:
        descriptor = os.open(path, flags, 0o644)
    except FileNotFoundError as error:
        raise BlobMissing(f"The partial file {path.name} is gone.") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise PartialBusy(path.name) from error
        if os.fstat(descriptor).st_nlink == 0:
            # Whoever held it has deleted it meanwhile; the name may belong to another file by now.
            raise PartialBusy(path.name)
        yield
    finally:
        os.close(descriptor)


def write_all(file: IO[bytes], data: bytes) -> None:
    """Write ``data`` to an unbuffered file; a raw write may take less than it is given."""
    rest = memoryview(data)
    with room():
        while rest:
            rest = rest[file.write(rest) :]


@dataclass
class _FileSink:
    file: IO[bytes]
    state: PartialState

    def write(self, data: bytes) -> None:
        write_all(self.file, data)


@dataclass
class LocalPartial:
    """In a folder beside the blobs, so that adopting is a link. A remote store without multipart uploads sends the
    file when it is adopted; until then it can only go on at the machine where it began."""

    store: BlobStore
    path: Path
    length: int = field(default=0)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        with room():
            self.path.parent.mkdir(parents=True, exist_ok=True)
        with locked_file(self.path, os.O_RDWR | os.O_CREAT):
            yield

    def current(self, state: PartialState) -> PartialState:
        # The file may have more than was written down: the process was killed while bytes arrived.
        return PartialState(min(self.path.stat().st_size, self.length))

    @contextlib.contextmanager
    def append(self, state: PartialState, checkpoint: Checkpoint | None) -> Iterator[Sink]:
        with open(self.path, "r+b", buffering=0) as file:
            file.truncate(state.offset)
            file.seek(state.offset)
            sink = _FileSink(file, state)
            try:
                yield sink
            finally:
                with room():
                    os.fsync(file.fileno())
                sink.state = PartialState(file.tell())

    def undo(self, written: PartialState, state: PartialState) -> None:
        os.truncate(self.path, state.offset)

    def seal(self, state: PartialState) -> None:
        """Nothing to do: every ``append`` left the bytes durable and readable."""

    def open(self) -> IO[bytes]:
        return open(self.path, "rb")

    def adopt(self, sha256: str) -> None:
        twin = self.store.scratch / f"{self.path.name}.adopted"
        with room():
            twin.parent.mkdir(parents=True, exist_ok=True)
            twin.unlink(missing_ok=True)
            try:
                os.link(self.path, twin)
            except OSError:
                # A file system without hard links.
                shutil.copyfile(self.path, twin)
        try:
            self.store.adopt(twin, sha256)
        finally:
            twin.unlink(missing_ok=True)

    def delete(self, state: PartialState) -> None:
        self.path.unlink(missing_ok=True)


def sweep_folder(folder: Path, known: Container[str], older_than: float) -> int:
    """Delete the files of ``folder`` that were last written before the Unix time ``older_than`` and whose names up to
    the first dot are not ``known``; how many."""
    swept = 0
    for path in folder.glob("*"):
        with contextlib.suppress(FileNotFoundError):
            if path.name.partition(".")[0] not in known and path.stat().st_mtime < older_than:
                path.unlink()
                swept += 1
    return swept
