"""A whole site over the test session's servers: a web server and every kind of worker, as processes."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx

from tests.processes.fleet import PATIENCE, ROOT, Worker, database_url


class LiveSite:
    """``url`` answers once ``start`` has returned. ``folder`` takes the logs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            self.port = listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.web_log = folder / "web.log"
        self.workers: list[Worker] = []
        self._web: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        own = {"DATABASE_URL": database_url(), "DJANGO_SETTINGS_MODULE": "marketplace.settings.test"}
        bare = {"DATABASE_URL": "", "SECRET_KEY": "", "WORKER_NICE": "0"}
        command = ["uvicorn", "marketplace.asgi:application", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--lifespan", "off", "--no-access-log", "--timeout-graceful-shutdown", "1"]
        with open(self.web_log, "ab") as log:
            self._web = subprocess.Popen(
                [sys.executable, "-m", *command],
                # A busy machine may take longer than a reader of pages would wait for a search by meaning.
                env={**os.environ, **own, "DATABASE_POOL": "6", "QUERY_TIMEOUT_SECONDS": "30"},
                cwd=ROOT,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        for role in ("marketplace", "inspect", "embed", "fetch", "batch", "live"):
            environment = {**own, "DATABASE_POOL": "4"} if role == "marketplace" else bare
            self.workers.append(Worker(role, self.folder / f"{role}.log", environment))
        for worker in self.workers:
            worker.wait_ready()
        self._wait_for_web()

    def _wait_for_web(self) -> None:
        until = time.monotonic() + PATIENCE
        while True:
            try:
                answer = httpx.get(f"{self.url}/readyz", timeout=30.0)
                if answer.status_code == 200 and answer.json()["status"] == "ready":
                    return
                said = answer.text
            except httpx.HTTPError as error:
                said = repr(error)
            assert self._web is not None
            assert self._web.poll() is None, self.web_log.read_text()[-3000:]
            assert time.monotonic() < until, f"not ready: {said}"
            time.sleep(0.2)

    @contextlib.contextmanager
    def paused(self, role: str) -> Iterator[Callable[[], None]]:
        """The worker of ``role`` takes no jobs until the function that is given is called, or the block ends."""
        worker = next(worker for worker in self.workers if worker.role == role)
        worker.process.send_signal(signal.SIGSTOP)

        def resume() -> None:
            worker.process.send_signal(signal.SIGCONT)

        try:
            yield resume
        finally:
            resume()

    def end(self) -> None:
        """The workers stop as an operator stops them; what does not stop is killed."""
        for worker in self.workers:
            if worker.process.poll() is None:
                worker.process.terminate()
        if self._web is not None:
            self._web.terminate()
        for process in [*(worker.process for worker in self.workers), *([self._web] if self._web else [])]:
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
