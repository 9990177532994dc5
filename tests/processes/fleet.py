"""Real worker processes over the test session's servers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psutil
from django.db import connection

from inference_worker.roles import ROLES
from tests.processes.drill import QUEUE

ROOT = Path(__file__).resolve().parents[2]
#: Seconds; short, so that a lost worker is missed soon, and long enough for one that a busy machine keeps waiting.
HEARTBEAT, REAPER, RESEND = 0.8, 0.3, 1.5
#: Seconds after which something hangs, however busy the machine. No test is about being quicker than that.
PATIENCE = 120.0


def wait_for(condition: Callable[[], object], seconds: float = PATIENCE, what: str = "") -> None:
    """Until ``condition`` holds; fails after ``seconds``."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"not within {seconds} s: {what or condition}"
        time.sleep(0.05)


def database_url() -> str:
    """The test database's address for another process."""
    parts = urlsplit(os.environ["DATABASE_URL"])
    return urlunsplit(parts._replace(path=f"/{connection.settings_dict['NAME']}"))


class Worker:
    """One worker process, with its log in a file."""

    def __init__(self, role: str, log: Path, environment: dict[str, str], **changes: object) -> None:
        self.role = role
        self.log = log
        arguments = ROLES[role].command(**changes)  # type: ignore[arg-type]
        with open(log, "ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                env={**os.environ, **ROLES[role].environment, **environment},
                cwd=ROOT,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    @property
    def descendants(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def wait_ready(self) -> None:
        wait_for(lambda: self.process.poll() is not None or "ready." in self.log.read_text(), what=f"{self.role} up")
        assert self.process.poll() is None, self.log.read_text()[-3000:]

    def kill(self) -> None:
        """kill -9 of the worker's parent process, and of nothing else."""
        self.process.kill()
        self.process.wait()

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(PATIENCE)

    def end(self) -> None:
        """Whatever it takes; nothing of the worker's session is left."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Fleet:
    """The workers of one test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.workers: list[Worker] = []
        self.environment = {
            "JOB_HEARTBEAT_SECONDS": str(HEARTBEAT),
            "JOB_REAPER_SECONDS": str(REAPER),
            "JOB_RESEND_SECONDS": str(RESEND),
            "DATABASE_POOL": "6",
            "WORKER_NICE": "0",
        }

    def marketplace(self) -> Worker:
        own = {"DATABASE_URL": database_url(), "DJANGO_SETTINGS_MODULE": "marketplace.settings.test"}
        return self._start("marketplace", own)

    def batch(self, queues: tuple[str, ...] = (QUEUE,), concurrency: int = 1) -> Worker:
        changes = {"app": "tests.processes.worker_app", "queues": queues, "concurrency": concurrency}
        return self._start("batch", {"DATABASE_URL": "", "SECRET_KEY": ""}, **changes)

    def live(self, **environment: str) -> Worker:
        return self._start("live", {"DATABASE_URL": "", "SECRET_KEY": "", **environment})

    def _start(self, role: str, environment: dict[str, str], **changes: object) -> Worker:
        node = f"{role}{len(self.workers)}@%h"
        log = self.folder / f"{role}-{len(self.workers)}.log"
        worker = Worker(role, log, {**self.environment, **environment}, node=node, **changes)
        self.workers.append(worker)
        return worker

    def end(self) -> None:
        for worker in self.workers:
            worker.end()
