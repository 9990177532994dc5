"""What a handler is given beside its request."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from inference_worker.blobs import BlobStore
from inference_worker.contracts.common import OutputFile

_PROGRESS_INTERVAL = 0.1


@dataclass
class JobContext:
    """``blobs`` holds inputs and takes outputs; ``workdir`` is deleted afterwards.

    ``reports`` is the descriptor of the pipe to the guardian, one JSON object per line.
    """

    blobs: BlobStore
    workdir: Path
    encoder: str
    reports: int
    #: Whose id names what a later attempt may go on from.
    job: str = ""
    _reported: float = field(default=0.0, repr=False)

    def progress(self, fraction: float, message: str = "") -> None:
        """How far the job is (0 to 1) and what it does, for people. Calls in quick succession are thinned out."""
        now = time.monotonic()
        if now - self._reported < _PROGRESS_INTERVAL and fraction < 1.0:
            return
        self._reported = now
        self._send({"progress": min(max(float(fraction), 0.0), 1.0), "message": message})

    def log(self, message: str) -> None:
        """A line for the job's page."""
        self._send({"log": message, "at": time.time()})

    def store(self, folder: Path) -> tuple[OutputFile, ...]:
        """Put every file below ``folder`` into the blob store; paths are relative to it."""
        files = []
        for path in sorted(item for item in folder.rglob("*") if item.is_file()):
            info = self.blobs.put_file(path)
            name = path.relative_to(folder).as_posix()
            files.append(OutputFile(path=name, sha256=info.sha256, git_sha1=info.git_sha1, size=info.size))
        return tuple(files)

    @contextmanager
    def going_on(self, name: str) -> Iterator[Path]:
        """A folder for what a later attempt may go on from. It goes with the work, done or failed; where the process is
        stopped it stays, and what no attempt comes back for goes with the collection of abandoned scratch files."""
        folder = self.blobs.scratch / f"{name}-{self.job}"
        try:
            yield folder
        except Exception:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        shutil.rmtree(folder, ignore_errors=True)

    def _send(self, report: dict[str, object]) -> None:
        data = json.dumps(report).encode() + b"\n"
        while data:
            data = data[os.write(self.reports, data) :]
