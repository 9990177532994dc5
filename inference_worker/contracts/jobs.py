"""The envelope around every batch job: the plan that goes out, the outcome that comes back.

The plan lies in the blob store under ``plans/{job}/{attempt}``, the outcome under ``results/{job}/{attempt}``; Celery
carries only ``(job, attempt)`` as a hint, so an emptied broker loses nothing.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from inference_worker.contracts.common import Contract

JobKind = Literal["inspect", "merge", "embed", "base_shapes", "evaluate", "train"]


class Limits(Contract):
    """What a job's child process may use; it is ended beyond it."""

    memory_mb: int = Field(gt=0)
    seconds: int = Field(gt=0)


class JobPlan(Contract):
    """A closed plan: everything a worker needs, authorised and resolved beforehand by the marketplace.

    ``request`` is the dumped contract of that ``kind`` (see ``inference_worker.tasks.kinds``).
    """

    job: str
    attempt: int = Field(ge=1)
    kind: JobKind
    request: dict[str, Any]
    limits: Limits
    request_id: str = ""


class JobFault(Contract):
    """Why a job failed: ``code`` for programs, ``message`` for people; ``retryable`` faults may be tried again."""

    code: str
    message: str
    retryable: bool = False
    extra: dict[str, Any] = {}


class LogLine(Contract):
    """One line of a job's log; ``at`` is a Unix time in seconds."""

    at: float
    message: str


class JobOutcome(Contract):
    """What a worker reports. Exactly one of ``result`` and ``fault`` is set."""

    job: str
    attempt: int
    status: Literal["succeeded", "failed", "cancelled"]
    result: dict[str, Any] | None = None
    fault: JobFault | None = None
    log: tuple[LogLine, ...] = ()
    started_at: float
    finished_at: float
    peak_memory_mb: int = 0
