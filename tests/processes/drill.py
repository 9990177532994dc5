"""A kind of job that does on request what jobs do when things go wrong. Only the tests' workers know it."""

from __future__ import annotations

import os
import time
import uuid
from pathlib import Path
from typing import Literal

from inference_worker.contracts.common import Contract, OutputFile
from inference_worker.contracts.jobs import KINDS, Kind, Limits
from inference_worker.errors import Refused
from inference_worker.tasks.context import JobContext
from inference_worker.tasks.kinds import HANDLERS

QUEUE = "drill"


class DrillRequest(Contract):
    """``notes`` is a folder in which each run leaves a file when it begins and one when it ends."""

    notes: str
    action: Literal["work", "allocate", "exit", "abort", "fail", "refuse"] = "work"
    seconds: float = 0.0
    mb: int = 0


class DrillResult(Contract):
    answer: int
    files: tuple[OutputFile, ...] = ()


def handle(request: DrillRequest, context: JobContext) -> DrillResult:
    notes = Path(request.notes)
    (notes / f"began-{uuid.uuid4().hex}").write_text(str(os.getpid()))
    context.log(f"Begun with {request.action}.")
    if request.action == "exit":
        os._exit(7)
    if request.action == "abort":
        os.abort()
    if request.action == "fail":
        raise ZeroDivisionError("a bug")
    if request.action == "refuse":
        raise Refused("The adapters have different bases.", code="bases_differ")
    held = bytearray(request.mb << 20) if request.action == "allocate" else b""
    until = time.monotonic() + request.seconds
    while (left := until - time.monotonic()) > 0:
        context.progress(1 - left / request.seconds, "Working")
        time.sleep(min(0.05, left))
    out = context.workdir / "out"
    out.mkdir()
    (out / "answer.txt").write_text("42")
    files = context.store(out)
    (notes / f"ended-{uuid.uuid4().hex}").write_text(str(len(held)))
    return DrillResult(answer=42, files=files)


def register() -> None:
    """Make the kind known to this process."""
    KINDS["drill"] = Kind(
        queue=QUEUE, request=DrillRequest, result=DrillResult, limits=Limits(memory_mb=256, seconds=30)
    )
    HANDLERS["drill"] = "tests.processes.drill:handle"
