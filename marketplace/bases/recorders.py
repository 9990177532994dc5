"""Writes what the job ``base_shapes`` read, and finds the adapters that were waiting for this base."""

from __future__ import annotations

from typing import Any

import structlog

from inference_worker.contracts.bases import BaseShapesResult
from marketplace.adapters.models import Adapter, Artifact
from marketplace.bases import selectors
from marketplace.bases.models import Base
from marketplace.bases.services import KIND
from marketplace.jobs.models import Job
from marketplace.jobs.recorders import register, register_failure

logger = structlog.get_logger(__name__)


@register(KIND)
def record_shapes(job: Job, result: dict[str, Any]) -> None:
    """The base becomes ready; adapters whose config names it and whose shapes fit are linked to it."""
    found = BaseShapesResult.model_validate(result)
    base = Base.objects.select_for_update().filter(pk=job.subject["base"]).first()
    if base is None or base.source != job.subject.get("source", base.source):
        logger.info("shapes_dropped", job=str(job.pk), why="the base was deleted or moved")
        return
    base.state, base.fault = Base.State.READY, ""
    base.config = found.config
    base.shapes = {name: list(shape) for name, shape in found.shapes.items()}
    base.fingerprint = found.fingerprint
    base.tokenizer_hash = found.tokenizer_hash
    base.chat_template = found.chat_template
    base.parameters = found.parameters
    base.save()
    adopted = adopt_artifacts(base)
    logger.info("base_ready", base=base.name, modules=len(base.shapes), adopted=adopted)


def adopt_artifacts(base: Base) -> int:
    """Link accepted artefacts without a base, and their adapters, to ``base`` where names and shapes agree."""
    adopted = 0
    waiting = Artifact.objects.select_for_update().filter(base=None, state=Artifact.State.VALID)
    for artifact in waiting.only("pk", "summary", "modules", "problems"):
        name = artifact.summary.get("base_model_name", "")
        if selectors.resolve_base(name) != base or selectors.shape_conflicts(base, artifact.modules):
            continue
        problems = [problem for problem in artifact.problems if problem["code"] != "base_unknown"]
        Artifact.objects.filter(pk=artifact.pk).update(base=base, problems=problems)
        Adapter.objects.filter(current__artifact=artifact, base=None).update(base=base)
        adopted += 1
    return adopted


@register_failure(KIND)
def record_unread(job: Job) -> None:
    """The base is shown as unreadable, with the worker's words."""
    words = job.error_message or "The job was cancelled."
    Base.objects.filter(pk=job.subject["base"], state=Base.State.PENDING).update(state=Base.State.FAILED, fault=words)
