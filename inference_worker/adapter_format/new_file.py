"""Files that appear complete or not at all, and of which nothing stays when the process is killed before."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Mapping
from itertools import takewhile
from pathlib import Path
from types import TracebackType


class NewFile:
    """A file in ``directory`` that has no name until it is published.

    Linux gives an unnamed file back with the last process that holds it, however that ends. Where the file system has
    no such files, it has a hidden name, which leaving the context removes. ``directory`` has to exist by the time the
    file is published: until then it lies on the disk of the nearest folder above that exists.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._place = next((folder for folder in (directory, *directory.parents) if folder.exists()), directory)
        self._hidden: Path | None = None
        self.file = os.fdopen(self._open(), "wb", buffering=0)

    def __enter__(self) -> NewFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.file.close()
        if self._hidden is not None:
            self._hidden.unlink(missing_ok=True)

    def write(self, data: bytes) -> None:
        """Append all of ``data``."""
        view = memoryview(data)
        while view:
            view = view[self.file.write(view) :]

    def sync(self) -> None:
        """Return when what was written is on the disk."""
        os.fsync(self.file.fileno())

    def publish(self, name: str) -> None:
        """Put the file under ``name``, in place of what is there. What was written is on the disk before."""
        self.sync()
        if self._hidden is None:
            with contextlib.suppress(FileExistsError):
                self._link(name)
                return
            # Nothing can be linked over a name: it gets one of its own first.
            self._hidden = _own_name(self._directory)
            self._link(self._hidden.name)
        os.replace(self._hidden, self._directory / name)

    def _open(self) -> int:
        """Readable as the umask allows (mkstemp would let only its owner read it)."""
        flags = os.O_RDWR | os.O_CLOEXEC
        with contextlib.suppress(OSError, AttributeError):
            if Path("/proc/self/fd").is_dir():
                return os.open(self._place, flags | os.O_TMPFILE, 0o666)
        self._hidden = _own_name(self._place)
        return os.open(self._hidden, flags | os.O_CREAT | os.O_EXCL, 0o666)

    def _link(self, name: str) -> None:
        folder = os.open(self._directory, os.O_RDONLY)
        try:
            # Given a folder, Python follows the link in /proc; without one it would link the link itself.
            os.link(f"/proc/self/fd/{self.file.fileno()}", name, dst_dir_fd=folder, follow_symlinks=True)
        finally:
            os.close(folder)


def _own_name(directory: Path) -> Path:
    return directory / f".partial-{secrets.token_hex(8)}"


def write_atomically(path: Path, data: bytes) -> None:
    """Write ``data`` so that ``path`` holds either the old or the new bytes, also after a power cut."""
    with NewFile(path.parent) as new:
        new.write(data)
        new.publish(path.name)


def publish_together(directory: Path, content: Mapping[str, NewFile], notes: Mapping[str, NewFile]) -> None:
    """Give files their names in order: ``content``, then ``notes`` about it.

    Everything is on the disk first, so only names are left to be given, which takes well under a millisecond, that of
    ``directory`` included. Notes about earlier content go before it does. So whenever the process is killed, notes
    stand beside their own content or are missing. If a name cannot be given, names that are new here go again.
    """
    for new in (*content.values(), *notes.values()):
        new.sync()
    folders = list(takewhile(lambda folder: not folder.exists(), (directory, *directory.parents)))
    directory.mkdir(parents=True, exist_ok=True)
    made = [directory / name for name in (*content, *notes) if not (directory / name).exists()]
    try:
        for name in notes:
            (directory / name).unlink(missing_ok=True)
        for name, new in (*content.items(), *notes.items()):
            new.publish(name)
        for folder in (directory, *(folder.parent for folder in folders)):
            sync_directory(folder)
    except BaseException:
        for path in made:
            path.unlink(missing_ok=True)
        for folder in folders:
            with contextlib.suppress(OSError):  # Somebody else may have put something into it, or have removed it.
                folder.rmdir()
        raise


def sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
