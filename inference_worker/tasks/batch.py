"""The task of the batch and inspect workers: ``inference_worker.run_job(job, attempt)``.

The pool's member claims the attempt, runs it in a child under a guardian, writes the outcome as a document and only
then tells the marketplace. Whatever of this is lost on the way, the marketplace's reaper finds.
"""

from __future__ import annotations

import functools
import mmap
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import redis
import structlog
from celery.signals import celeryd_after_setup, worker_process_init, worker_shutting_down
from kombu.exceptions import OperationalError as BrokerError

from inference_worker.blobs import BlobStore
from inference_worker.celery_app import app, config
from inference_worker.contracts.jobs import JobOutcome, JobPlan, plan_name, result_name
from inference_worker.tasks.board import Board
from inference_worker.tasks.child import die_with_parent
from inference_worker.tasks.context import JobContext
from inference_worker.tasks.guardian import Guardian
from inference_worker.tasks.kinds import preload

log = structlog.get_logger(__name__)

_WORKDIR = "brickyard-job-"

#: One byte shared with the pool's members: 1 once the worker is asked to stop.
_stop_flag = mmap.mmap(-1, 1)


@celeryd_after_setup.connect
def _prepare(sender: str, instance: Any, **_: Any) -> None:
    """In the worker's parent, before it forks: libraries are imported here, and never run."""
    sweep_workdirs()
    kinds = preload(instance.app.amqp.queues.consume_from)
    os.nice(int(os.environ.get("WORKER_NICE") or 0))
    log.info("worker_prepared", worker=sender, kinds=kinds)


@worker_shutting_down.connect
def _stop(**_: Any) -> None:
    _stop_flag[0] = 1


@worker_process_init.connect
def _enter_pool(**_: Any) -> None:
    die_with_parent(os.getppid())


def sweep_workdirs() -> int:
    """Delete the working folders that killed pool members on this machine left behind; how many."""
    left = [
        folder
        for folder in Path(tempfile.gettempdir()).glob(f"{_WORKDIR}*-*")
        if not Path("/proc", folder.name.removeprefix(_WORKDIR).partition("-")[0]).exists()
    ]
    for folder in left:
        shutil.rmtree(folder, ignore_errors=True)
    return len(left)


@functools.cache
def _redis() -> redis.Redis:
    return redis.Redis.from_url(config.redis_url, decode_responses=True, socket_connect_timeout=2, socket_timeout=5)


@functools.cache
def blob_store() -> BlobStore:
    return BlobStore(config.blob_store_url, config.blob_cache)


@app.task(name="inference_worker.run_job")
def run_job(job: str, attempt: int) -> str:
    """Run one attempt if it is still wanted and nobody else has it; says what became of the hint."""
    with structlog.contextvars.bound_contextvars(job=job, attempt=attempt):
        blobs = blob_store()
        if blobs.get_document(result_name(job, attempt)) is not None:
            tell("marketplace.record_result", job, attempt)
            return "done before"
        document = blobs.get_document(plan_name(job, attempt))
        if document is None:
            log.info("hint_void")
            return "withdrawn"
        plan = JobPlan.model_validate_json(document)
        board = Board(_redis(), job, attempt, config.name, config.claim_seconds)
        if not board.claim():
            log.info("hint_taken")
            return "claimed by another"
        with structlog.contextvars.bound_contextvars(request_id=plan.request_id, kind=plan.kind):
            try:
                return _run(plan, board, blobs)
            finally:
                board.release()


def _run(plan: JobPlan, board: Board, blobs: BlobStore) -> str:
    log.info("job_started", limits=plan.limits.model_dump())
    tell("marketplace.record_started", plan.job, plan.attempt)
    workdir = Path(tempfile.mkdtemp(prefix=f"{_WORKDIR}{os.getpid()}-"))

    def context(reports: int) -> JobContext:
        return JobContext(blobs=blobs, workdir=workdir, encoder=config.encoder, reports=reports, job=plan.job)

    try:
        guardian = Guardian(plan, board, config.heartbeat, context, lambda: _stop_flag[0] == 1)
        outcome = guardian.run(workdir)
    finally:
        shutil.rmtree(workdir, ignore_errors=True)
    report(outcome, blobs)
    return outcome.status


def report(outcome: JobOutcome, blobs: BlobStore) -> None:
    """Keep the outcome first, then send word of it."""
    blobs.put_document(result_name(outcome.job, outcome.attempt), outcome.model_dump_json().encode())
    log.info(
        "job_ended",
        status=outcome.status,
        code=outcome.fault.code if outcome.fault else "",
        seconds=round(outcome.finished_at - outcome.started_at, 3),
        peak_memory_mb=outcome.peak_memory_mb,
    )
    tell("marketplace.record_result", outcome.job, outcome.attempt)


def tell(task: str, job: str, attempt: int) -> None:
    """Send word to the marketplace; when the broker is away the reaper finds out by itself."""
    try:
        app.send_task(task, args=[job, attempt], queue="marketplace")
    except (BrokerError, redis.RedisError, OSError) as error:
        log.warning("word_not_sent", task=task, fault=repr(error))
