"""The process of one job: limited by the operating system, ended with its parent, reporting through a pipe.

It is forked from a process that has imported torch and never run it, so it starts at once and torch's threads are its
own. Whatever it leaves behind in memory goes with it.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import structlog

from inference_worker.contracts.jobs import JobFault, JobPlan
from inference_worker.errors import EngineError, OutOfMemory
from inference_worker.tasks.context import JobContext
from inference_worker.tasks.kinds import run_handler

log = structlog.get_logger(__name__)

MB = 1 << 20
OUTCOME_FILE = "outcome.json"
_PR_SET_PDEATHSIG = 1
#: How the allocators of torch and Rust say it; Python's own is a MemoryError.
_MEMORY_WORDS = ("can't allocate memory", "not enough memory", "out of memory", "cannot allocate memory", "bad_alloc")
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


@dataclass(frozen=True)
class Child:
    """A running child: ``reports`` and ``errors`` are the reading ends of its report pipe and of its stderr."""

    pid: int
    reports: int
    errors: int


def start_child(plan: JobPlan, make_context: Callable[[int], JobContext]) -> Child:
    """Fork the job's process. ``make_context`` is called in it, with the descriptor to report to."""
    reports_read, reports_write = os.pipe()
    errors_read, errors_write = os.pipe()
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        os.close(reports_read)
        os.close(errors_read)
        os.dup2(errors_write, 2)
        os.close(errors_write)
        _run(plan, parent, make_context, reports_write)
    os.close(reports_write)
    os.close(errors_write)
    return Child(pid, reports_read, errors_read)


def die_with_parent(parent: int) -> None:
    """Ask the kernel to end this process when ``parent`` ends, however that happens."""
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)  # It ended before we asked.


def _run(plan: JobPlan, parent: int, make_context: Callable[[int], JobContext], reports: int) -> NoReturn:
    status = 1
    try:
        die_with_parent(parent)
        os.setpgid(0, 0)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        _limit(plan)
        context = make_context(reports)
        outcome = _handle(plan, context)
        target = context.workdir / OUTCOME_FILE
        target.with_suffix(".part").write_text(json.dumps(outcome))
        target.with_suffix(".part").replace(target)
        status = 0
    except BaseException:  # Nothing may return into the parent's code; the guardian sees the status.
        log.exception("child_failed")
    finally:
        sys.stderr.flush()
        os._exit(status)


def _limit(plan: JobPlan) -> None:
    """Let allocations beyond the limit fail. What the parent has mapped already does not count against the job."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # When the machine itself runs out of memory, the job is to go and not its worker.
    score = Path("/proc/self/oom_score_adj")
    score.write_text(str(max(int(score.read_text()), 500)))
    if Path("/dev/nvidiactl").exists():
        return  # CUDA maps far more than it uses; the guardian's watch on the resident size remains.
    limit = _mapped() + plan.limits.memory_mb * MB
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def _mapped() -> int:
    """Bytes of private writable mappings of this process (what RLIMIT_DATA counts)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) * 1024
    return 0


def _handle(plan: JobPlan, context: JobContext) -> dict[str, Any]:
    try:
        result = run_handler(plan.kind, plan.request, context)
    except Exception as error:  # noqa: BLE001 (every end of a handler is an outcome; bugs are logged with their trace)
        return {"fault": fault_of(error).model_dump(mode="json")}
    return {"result": result.model_dump(mode="json")}


def fault_of(error: Exception) -> JobFault:
    """What a handler raised, as the job's fault."""
    if isinstance(error, OutOfMemory) or _is_memory(error):
        return out_of_memory()
    if isinstance(error, EngineError):
        return JobFault(code=error.code, message=error.message, extra=error.extra)
    log.error("handler_failed", exc_info=error)
    return JobFault(
        code="internal_error",
        message="The job met a fault of this program. The operator finds the details in the worker's log under the "
        "job's number.",
    )


def _is_memory(error: Exception) -> bool:
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError | OSError) and says_memory(str(error))


def says_memory(text: str) -> bool:
    """Whether an allocator speaks in ``text``."""
    lowered = text.lower()
    return any(words in lowered for words in _MEMORY_WORDS) or "memory allocation of" in lowered


def out_of_memory(limit_mb: int | None = None) -> JobFault:
    allowed = f" of {limit_mb} MB" if limit_mb else ""
    return JobFault(
        code="out_of_memory",
        message=f"The job needed more memory than its limit{allowed}. Use fewer or smaller adapters or a lower rank, "
        "or ask the operator to raise the limit (JOB_LIMITS).",
    )
