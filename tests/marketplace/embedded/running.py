"""What the tests know about a running miniature of the demo."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil

MINIATURE = Path(__file__).with_name("miniature.py")
WITHIN = 60.0


@dataclass
class Miniature:
    """A running miniature: ``guard`` is the process that was started, everything else is found from the pid files."""

    folder: Path
    process: subprocess.Popen[str]
    known: set[int] = field(default_factory=set)

    @property
    def guard(self) -> psutil.Process:
        return psutil.Process(self.process.pid)

    @property
    def supervisor(self) -> psutil.Process:
        return self.guard.children()[0]

    def pids(self, name: str) -> list[int]:
        """Every process id that the service ``name`` has had, the first one first."""
        path = self.folder / f"{name}.pids"
        return [int(line) for line in path.read_text().split()] if path.exists() else []

    def wait(self, condition: Callable[[], bool]) -> None:
        """Wait for ``condition`` on the process's own output: each change prints a line."""
        assert self.process.stdout is not None
        while not condition():
            assert self.process.stdout.readline(), "the miniature ended"

    def everybody(self) -> list[psutil.Process]:
        return [self.guard, *self.guard.children(recursive=True)]

    def end(self) -> str:
        return self.process.communicate(timeout=WITHIN)[0]


def gone(processes: list[psutil.Process]) -> bool:
    """Whether all of them end within ``WITHIN`` seconds."""
    return not psutil.wait_procs(processes, timeout=WITHIN)[1]
