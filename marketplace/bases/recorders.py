"""Writes what the job ``base_shapes`` read."""

from __future__ import annotations

from typing import Any

import structlog

from inference_worker.contracts.bases import BaseShapesResult
from marketplace.bases.models import Base
from marketplace.bases.services import KIND, ask_for_linking
from marketplace.bases.shapes import summarise
from marketplace.jobs.models import Job
from marketplace.jobs.recorders import register, register_failure

logger = structlog.get_logger(__name__)


@register(KIND)
def record_shapes(job: Job, result: dict[str, Any]) -> None:
    """The base becomes ready; the adapters that wait for it are looked through after the commit."""
    found = BaseShapesResult.model_validate(result)
    base = Base.objects.select_for_update().filter(pk=job.subject["base"]).first()
    if base is None or (base.source, base.revision) != _asked(job, base):
        logger.info("shapes_dropped", job=str(job.pk), why="the base was deleted or moved")
        return
    base.state, base.fault = Base.State.READY, ""
    base.config = found.config
    base.shapes = _listed(found.shapes)
    base.variants = {task: _listed(shapes) for task, shapes in found.variants.items()}
    base.task, base.notes = found.task, list(found.notes)
    base.fingerprint = found.fingerprint
    base.tokenizer_hash = found.tokenizer_hash
    base.chat_template = found.chat_template
    base.parameters = found.parameters
    summarise(base)
    base.save()
    ask_for_linking(base)
    logger.info("base_ready", base=base.name, modules=len(base.shapes))


def _asked(job: Job, base: Base) -> tuple[str, str]:
    """Source and revision that the job was made for."""
    return job.subject.get("source", base.source), job.subject.get("revision", base.revision)


def _listed(shapes: dict[str, tuple[int, int]]) -> dict[str, list[int]]:
    return {name: list(shape) for name, shape in shapes.items()}


@register_failure(KIND)
def record_unread(job: Job) -> None:
    """The base is shown as unreadable, with the worker's words. One that was read before stays what it was."""
    words = job.error_message or "The job was cancelled."
    base = Base.objects.select_for_update().filter(pk=job.subject["base"], state=Base.State.PENDING).first()
    if base is None or (base.source, base.revision) != _asked(job, base):
        return
    base.state, base.fault = Base.State.FAILED, words
    base.save(update_fields=["state", "fault"])
