"""One long-lived process under the supervisor: start, watch, restart with back-off, stop."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from marketplace.embedded.children import die_with_parent, kill_group
from marketplace.embedded.faults import Fault

LOG_BYTES = 10 * 2**20
LOG_COPIES = 3
FIRST_DELAY = 0.5
LONGEST_DELAY = 30.0
#: A process that ran this long is healthy again; its next end counts as the first.
HEALTHY_AFTER = 60.0


class Runner(Protocol):
    """What can be started and stopped: a command, or one of the embedded servers."""

    @property
    def pid(self) -> int | None: ...
    def poll(self) -> int | None: ...
    def start(self) -> object: ...
    def stop(self) -> None: ...


@dataclass
class Command:
    """A command in a session of its own, its output appended to ``log``."""

    argv: Sequence[str]
    environment: Mapping[str, str]
    folder: Path
    log: Path
    grace: float = 10.0
    _process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def poll(self) -> int | None:
        return self._process.poll() if self._process else None

    def start(self) -> None:
        rotate(self.log)
        with open(self.log, "ab") as log:
            self._process = subprocess.Popen(
                self.argv,
                env=dict(self.environment),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent(signal.SIGTERM),
            )

    def ask_to_stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def stop(self) -> None:
        """Ask, wait ``grace`` seconds, then kill; whatever the process left in its group is killed as well."""
        if self._process is None:
            return
        self.ask_to_stop()
        try:
            self._process.wait(self.grace)
        except subprocess.TimeoutExpired:
            kill_group(self._process.pid)
            self._process.wait()
        kill_group(self._process.pid)
        self._process = None


@dataclass
class Service:
    """A runner with its name and its history of failures."""

    name: str
    runner: Runner
    say: Callable[[str], None]
    failures: int = 0
    started_at: float = 0.0
    due_at: float | None = field(default=None)

    def start(self) -> None:
        self.started_at = time.monotonic()
        self.due_at = None
        self.runner.start()

    def watch(self, now: float) -> None:
        """Start again what ended, later each time it ends soon after its start."""
        if self.due_at is not None:
            if now >= self.due_at:
                self._restart(now)
            return
        status = self.runner.poll()
        if status is not None:
            self._plan_restart(now, f"ended ({describe(status)})")

    def _restart(self, now: float) -> None:
        try:
            self.start()
        except (Fault, OSError) as error:
            self._plan_restart(now, f"did not start ({error})")
        else:
            self.say(f"{self.name} runs again (process {self.runner.pid})")

    def _plan_restart(self, now: float, what: str) -> None:
        if self.runner.pid is not None:
            kill_group(self.runner.pid)
        self.failures = 1 if now - self.started_at > HEALTHY_AFTER else self.failures + 1
        delay = min(LONGEST_DELAY, FIRST_DELAY * 2 ** (self.failures - 1))
        self.due_at = now + delay
        self.say(f"{self.name} {what}; starting it again in {delay:g} s")


def describe(status: int) -> str:
    """``status`` of a process in words: ``SIGKILL``, ``status 1``."""
    if status < 0:
        return signal.Signals(-status).name
    return f"status {status}"


def rotate(log: Path, limit: int = LOG_BYTES) -> None:
    """Keep ``LOG_COPIES`` old copies of ``log`` once it passes ``limit`` bytes.

    The file is copied and then emptied, because its writer holds it open for appending.
    """
    if not log.exists() or log.stat().st_size <= limit:
        return
    for number in range(LOG_COPIES - 1, 0, -1):
        older = log.with_suffix(f".log.{number}")
        if older.exists():
            os.replace(older, log.with_suffix(f".log.{number + 1}"))
    shutil.copyfile(log, log.with_suffix(".log.1"))
    os.truncate(log, 0)
