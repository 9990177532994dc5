"""The demo's data folder: its lock, its version, its secrets and what it knows to be done already."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
from pathlib import Path
from typing import IO

from marketplace.embedded.faults import Fault, explain_disk

#: Raised when an older Brickyard could no longer read the folder.
FORMAT = 1
NEEDED_MEBIBYTES = 256


class DataFolder:
    """``path`` and the files in it. ``prepare`` makes it usable or says why not."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self.logs = self.path / "logs"
        self.static = self.path / "static"
        self.blobs = self.path / "blobs"
        self.passwords = self.path / "passwords.json"
        self.environment = self.path / "env"
        self._version = self.path / "VERSION"
        self._lock: IO[str] | None = None

    def prepare(self) -> None:
        """Create and lock the folder.

        Raises:
            Fault: in use, of a newer version, not writable, or on a disk that is too full.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._check_version()
            self.lock()
            self._check_space()
            for folder in (self.logs, self.blobs, self.static):
                folder.mkdir(exist_ok=True)
            self.write("VERSION", json.dumps({"format": FORMAT}) + "\n")
        except OSError as error:
            raise explain_disk(error, self.path) from error

    def lock(self) -> None:
        """Take the folder for this process.

        The operating system drops the lock with the process, so one that was killed leaves nothing to clean.

        Raises:
            Fault: another process holds it.
        """
        lock = open(self.path / "lock", "a+", encoding="utf-8")  # noqa: SIM115 - held as long as the demo runs
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            holder = lock.read().strip() or "another process"
            lock.close()
            raise Fault(f"A demo already runs on {self.path} ({holder}): stop it, or choose DATA=.") from error
        lock.truncate(0)
        lock.write(f"process {os.getpid()}")
        lock.flush()
        self._lock = lock

    def unlock(self) -> None:
        """Let another process have the folder."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _check_version(self) -> None:
        if not self._version.exists():
            return
        try:
            found = int(json.loads(self._version.read_text())["format"])
        except (ValueError, KeyError, TypeError) as error:
            raise Fault(f"{self._version} cannot be read: `make reset` starts afresh.") from error
        if found > FORMAT:
            raise Fault(
                f"{self.path} was written by a newer Brickyard (format {found}, this one knows {FORMAT}): "
                "update the code, or choose DATA=."
            )

    def is_ours(self) -> bool:
        """Whether a demo made this folder."""
        return self._version.exists()

    def _check_space(self) -> None:
        free = shutil.disk_usage(self.path).free // 2**20
        if free < NEEDED_MEBIBYTES:
            raise Fault(
                f"The disk is too full: {free} MiB are free for {self.path}, {NEEDED_MEBIBYTES} MiB are needed."
            )

    def write(self, name: str, text: str, mode: int = 0o644) -> Path:
        """Write ``text`` to the file ``name`` whole or not at all."""
        path = self.path / name
        partial = path.with_name(f".{name}-{os.getpid()}")
        with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(partial, path)
        return path

    def remembered(self, name: str, make: int = 32) -> str:
        """The secret in the file ``name``, made on the first call from ``make`` random bytes."""
        path = self.path / name
        if not path.exists():
            self.write(name, secrets.token_hex(make), mode=0o600)
        return path.read_text(encoding="utf-8").strip()

    def same_instance(self, other: Path) -> bool:
        """Whether ``other`` is a data folder with this one's identity: one of the two is a copy."""
        mine, theirs = self.path / "instance", other / "instance"
        return mine.exists() and theirs.exists() and mine.read_text() == theirs.read_text()

    def is_done(self, step: str, fingerprint: str) -> bool:
        """Whether ``step`` was done for this ``fingerprint``."""
        path = self.path / f"done-{step}"
        return path.exists() and path.read_text(encoding="utf-8") == fingerprint

    def mark_done(self, step: str, fingerprint: str) -> None:
        self.write(f"done-{step}", fingerprint)

    def forget(self, *steps: str) -> None:
        """Have ``steps`` done again."""
        for step in steps:
            (self.path / f"done-{step}").unlink(missing_ok=True)
