"""A real web process on a port of its own that can be killed and started again."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from django.db import connection

from benchmarks.upload import free_port, request
from tests.processes.fleet import PATIENCE, ROOT


class Web:
    """uvicorn over the test's own database and a blob store in ``folder``."""

    def __init__(self, folder: Path, **environment: str) -> None:
        parts = urlsplit(os.environ["DATABASE_URL"])
        self.port = free_port()
        self.url = f"http://localhost:{self.port}"
        self.blobs = folder / "blobs"
        self._log = folder / "web.log"
        self._environment = {
            **os.environ,
            "DATABASE_URL": urlunsplit(parts._replace(path=f"/{connection.settings_dict['NAME']}")),
            "BLOB_STORE_URL": f"file://{self.blobs}",
            **environment,
        }
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        argv = [sys.executable, "-m", "uvicorn", "marketplace.asgi:application", "--port", str(self.port)]
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                [*argv, "--no-access-log"], env=self._environment, cwd=ROOT, stdout=output, stderr=output
            )
        until = time.monotonic() + PATIENCE
        while True:
            with contextlib.suppress(OSError):
                if request(self.port, "GET", "/healthz")[0] == 200:
                    return
            if self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"the web process did not start: {self._log.read_text()[-2000:]}")
            time.sleep(0.1)

    def kill(self) -> None:
        """As the kernel does when memory runs out: nothing is put in order."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(30)
            self._process = None
