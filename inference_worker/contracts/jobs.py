"""The envelope around every batch job: the plan that goes out, the outcome that comes back.

The plan lies in the blob store under ``plans/{job}/{attempt}``, the outcome under ``results/{job}/{attempt}``; Celery
carries only ``(job, attempt)`` as a hint, so an emptied broker loses nothing.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from inference_worker.contracts.bases import BaseShapesRequest, BaseShapesResult
from inference_worker.contracts.common import Contract
from inference_worker.contracts.composability import ComposeCheckRequest, ComposeCheckResult
from inference_worker.contracts.embed import EmbedRequest, EmbedResult
from inference_worker.contracts.evaluate import EvaluateRequest, EvaluateResult
from inference_worker.contracts.export import ExportRequest, ExportResult
from inference_worker.contracts.fetch import FetchRequest, FetchResult
from inference_worker.contracts.inspect import InspectRequest, InspectResult
from inference_worker.contracts.merge import MergeRequest, MergeResult
from inference_worker.contracts.merge_preview import MergePreviewRequest, MergePreviewResult
from inference_worker.contracts.merge_sweep import MergeSweepRequest, MergeSweepResult


class Limits(Contract):
    """What a job's child process may use; it is ended beyond it."""

    memory_mb: int = Field(gt=0)
    seconds: int = Field(gt=0)


class JobPlan(Contract):
    """A closed plan: everything a worker needs, authorised and resolved beforehand by the marketplace.

    ``request`` is the dumped contract of that ``kind``, see ``KINDS``.
    """

    job: str
    attempt: int = Field(ge=1)
    kind: str
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


class Kind(Contract):
    """One kind of job: the Celery queue it waits in, its contracts, and what a child may use unless told otherwise."""

    queue: str
    request: type[Contract]
    result: type[Contract]
    limits: Limits


#: Kind of job -> its contract. Workers pair these with handlers in ``inference_worker.tasks.kinds``.
KINDS: dict[str, Kind] = {
    "inspect": Kind(
        queue="inspect", request=InspectRequest, result=InspectResult, limits=Limits(memory_mb=4096, seconds=900)
    ),
    # It needs what a check needs, and a page waits for it.
    "compose_check": Kind(
        queue="inspect",
        request=ComposeCheckRequest,
        result=ComposeCheckResult,
        limits=Limits(memory_mb=2048, seconds=600),
    ),
    # Not in the inspect queue: checks run in children of a process that never loaded these kinds' libraries, which are
    # larger than the check itself, and texts need not wait behind the check of a large adapter.
    "embed": Kind(queue="embed", request=EmbedRequest, result=EmbedResult, limits=Limits(memory_mb=2048, seconds=300)),
    "base_shapes": Kind(
        queue="embed", request=BaseShapesRequest, result=BaseShapesResult, limits=Limits(memory_mb=4096, seconds=600)
    ),
    "merge": Kind(queue="merge", request=MergeRequest, result=MergeResult, limits=Limits(memory_mb=8192, seconds=3600)),
    # A queue of its own: a slow server far away must keep nobody's check or merge waiting.
    "fetch": Kind(queue="fetch", request=FetchRequest, result=FetchResult, limits=Limits(memory_mb=1024, seconds=4500)),
    "export": Kind(
        queue="merge", request=ExportRequest, result=ExportResult, limits=Limits(memory_mb=8192, seconds=7200)
    ),
    # Behind nobody's merge: evaluations come by themselves with every upload, and those that do wait behind whatever a
    # person asked for (``marketplace.jobs.dispatch``).
    "evaluate": Kind(
        queue="train", request=EvaluateRequest, result=EvaluateResult, limits=Limits(memory_mb=8192, seconds=3600)
    ),
    # Somebody looks at the page meanwhile.
    "merge_preview": Kind(
        queue="merge",
        request=MergePreviewRequest,
        result=MergePreviewResult,
        limits=Limits(memory_mb=8192, seconds=900),
    ),
    "merge_sweep": Kind(
        queue="train", request=MergeSweepRequest, result=MergeSweepResult, limits=Limits(memory_mb=8192, seconds=14400)
    ),
}


def plan_name(job: str, attempt: int) -> str:
    """Name of the plan's document in the blob store."""
    return f"plans/{job}/{attempt}"


def partial_name(job: str) -> str:
    """Name of what a job has finished so far, which outlives its being cancelled, stopped or tried again."""
    return f"partials/{job}/0"


def result_name(job: str, attempt: int) -> str:
    """Name of the outcome's document in the blob store."""
    return f"results/{job}/{attempt}"
