"""Watches over one child: relays what it reports, keeps the claim alive, ends it when it must end.

Single-threaded on purpose: it forks, and its parent never runs torch.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog

from inference_worker.contracts.jobs import JobFault, JobOutcome, JobPlan, LogLine
from inference_worker.tasks import child as children
from inference_worker.tasks.board import Board
from inference_worker.tasks.context import JobContext

log = structlog.get_logger(__name__)

_TICK = 0.1
_SHOW_INTERVAL = 0.2
_WATCH_INTERVAL = 0.2
_ERROR_TAIL = 8192

STOPPED = JobFault(
    code="worker_stopped", message="The worker was stopped while the job ran; it is run again.", retryable=True
)


class Guardian:
    """One attempt from fork to outcome. ``stopping`` says whether the worker is shutting down."""

    def __init__(
        self,
        plan: JobPlan,
        board: Board,
        heartbeat: float,
        make_context: Callable[[int], JobContext],
        stopping: Callable[[], bool],
    ) -> None:
        self.plan, self.board = plan, board
        self._heartbeat, self._stopping, self._make_context = heartbeat, stopping, make_context
        self._verdict: JobFault | None = None
        self._cancelled = False
        self._unread = {"reports": b"", "errors": b""}
        self._errors: deque[bytes] = deque(maxlen=64)
        self._changed = False
        self._next = {"beat": 0.0, "show": 0.0, "watch": 0.0}
        self._peak_mb = 0

    def run(self, workdir: Path) -> JobOutcome:
        """Run the child to its end, whatever that is."""
        started = time.time()
        self._deadline = time.monotonic() + self.plan.limits.seconds
        self._baseline_mb = anonymous_mb(os.getpid())
        self._child = children.start_child(self.plan, self._make_context)
        try:
            status = self._watch()
        except BaseException:
            self._kill()
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self._child.pid, 0)
            raise
        finally:
            os.close(self._child.reports)
            os.close(self._child.errors)
        self.board.show()
        return self._outcome(workdir, status, started)

    # --- while it runs -----------------------------------------------------------------------------------------------
    def _watch(self) -> int:
        """Serve the child until it has ended; its wait status."""
        with selectors.DefaultSelector() as selector:
            for name in ("reports", "errors"):
                descriptor = getattr(self._child, name)
                os.set_blocking(descriptor, False)
                selector.register(descriptor, selectors.EVENT_READ, name)
            while True:
                for key, _ in selector.select(_TICK):
                    if not self._read(key.fd, key.data):
                        selector.unregister(key.fd)
                pid, status, usage = os.wait4(self._child.pid, os.WNOHANG)
                if pid:
                    for name in ("reports", "errors"):
                        self._read(getattr(self._child, name), name)
                    self._peak_mb = max(self._peak_mb, usage.ru_maxrss // 1024)
                    return status
                if not selector.get_map():
                    time.sleep(0.01)  # Both pipes are closed: the end is a moment away.
                self._attend(time.monotonic())

    def _attend(self, now: float) -> None:
        if now >= self._next["beat"]:
            self._next["beat"] = now + self._heartbeat
            self.board.beat()
        if self._changed and now >= self._next["show"]:
            self._next["show"], self._changed = now + _SHOW_INTERVAL, False
            self.board.show()
        if now >= self._next["watch"] and not self._ended():
            self._next["watch"] = now + _WATCH_INTERVAL
            self._judge(now)

    def _ended(self) -> bool:
        return self._cancelled or self._verdict is not None

    def _judge(self, now: float) -> None:
        limits = self.plan.limits
        if now >= self._deadline:
            self._verdict = time_limit(limits.seconds)
        elif anonymous_mb(self._child.pid) - self._baseline_mb > limits.memory_mb:
            self._verdict = children.out_of_memory(limits.memory_mb)
        elif self.board.stop_requested():
            self._cancelled = True
        elif self._stopping():
            self._verdict = STOPPED
        if self._ended():
            self._kill()

    def _kill(self) -> None:
        """End the child and whatever it started."""
        for end in (os.killpg, os.kill):
            try:
                end(self._child.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue  # It has ended, or has not yet made its group.

    def _read(self, descriptor: int, name: str) -> bool:
        """Take what is in a pipe; False at its end."""
        while True:
            try:
                data = os.read(descriptor, 65536)
            except BlockingIOError:
                return True
            if not data:
                return False
            if name == "errors":
                sys.stderr.buffer.write(data)
                sys.stderr.flush()
                self._errors.append(data[-_ERROR_TAIL:])
                continue
            *lines, self._unread[name] = (self._unread[name] + data).split(b"\n")
            for line in lines:
                self._take(json.loads(line))

    def _take(self, report: dict[str, Any]) -> None:
        self._changed = True
        if "log" in report:
            self.board.lines.append(LogLine(at=report["at"], message=str(report["log"])[:1000]))
        else:
            self.board.progress = max(self.board.progress, report["progress"])
            self.board.message = str(report["message"])[:300]

    # --- afterwards --------------------------------------------------------------------------------------------------
    def _outcome(self, workdir: Path, status: int, started: float) -> JobOutcome:
        result, fault = None, None
        if not self._cancelled:
            result, fault = self._verdict_of(workdir, status)
        if fault is not None:
            log.warning("job_failed", code=fault.code, status=status)
        return JobOutcome(
            job=self.plan.job,
            attempt=self.plan.attempt,
            status="cancelled" if self._cancelled else "succeeded" if fault is None else "failed",
            result=result,
            fault=fault,
            log=tuple(self.board.lines),
            started_at=started,
            finished_at=time.time(),
            peak_memory_mb=self._peak_mb,
        )

    def _verdict_of(self, workdir: Path, status: int) -> tuple[dict[str, Any] | None, JobFault | None]:
        if self._verdict is not None:
            return None, self._verdict
        path = workdir / children.OUTCOME_FILE
        if os.waitstatus_to_exitcode(status) == 0 and path.exists():
            outcome = json.loads(path.read_text())
            if "fault" in outcome:
                fault = JobFault.model_validate(outcome["fault"])
                full = fault.code == "out_of_memory"
                return None, children.out_of_memory(self.plan.limits.memory_mb) if full else fault
            return outcome["result"], None
        return None, self._crash(os.waitstatus_to_exitcode(status))

    def _crash(self, code: int) -> JobFault:
        """The child ended without an outcome; a negative ``code`` is the signal's number."""
        if children.says_memory(b"".join(self._errors).decode(errors="replace")):
            return children.out_of_memory(self.plan.limits.memory_mb)
        if code == -signal.SIGKILL:
            return JobFault(
                code="killed",
                message="The job's process was ended from outside, most likely because the machine ran out of memory.",
                retryable=True,
            )
        how = f"signal {-code}" if code < 0 else f"exit status {code}"
        return JobFault(
            code="crashed",
            message=f"The job's process ended with {how} before it had a result. The operator finds more in the "
            "worker's log under the job's number.",
        )


def time_limit(seconds: int) -> JobFault:
    return JobFault(
        code="time_limit",
        message=f"The job took longer than its limit of {seconds} seconds and was ended. Give it less to do, or ask "
        "the operator to raise the limit (JOB_LIMITS).",
    )


def anonymous_mb(pid: int) -> int:
    """Resident memory of a process that no file backs, in MB; 0 when it has ended."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) // 1024
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return 0
