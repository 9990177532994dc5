"""Writes what the job ``inspect`` found on the artefact, and on the adapters that use it."""

from __future__ import annotations

from typing import Any

import structlog

from inference_worker.contracts.inspect import InspectResult
from marketplace.adapters import alerts
from marketplace.adapters.models import Adapter, Artifact
from marketplace.adapters.services.advancing import advance, base_name_of, set_base
from marketplace.adapters.services.artifacts import CHECK_FAILED, KIND, inspections_of
from marketplace.adapters.services.versions import embed_when_valid
from marketplace.adapters.uploads.problems import error
from marketplace.bases.findings import judge_base
from marketplace.bases.models import Base
from marketplace.jobs.models import Job
from marketplace.jobs.recorders import register, register_failure

logger = structlog.get_logger(__name__)


@register(KIND)
def record_inspection(job: Job, result: dict[str, Any]) -> None:
    """Valid or invalid, with problems, statistics, signature and the base that the config names."""
    found = InspectResult.model_validate(result)
    # Not its key: a card that is written on it meanwhile names it while the adapter's row, wanted below, is locked.
    artifact = Artifact.objects.select_for_update(no_key=True).filter(pk=job.subject["artifact"]).first()
    if artifact is None:
        logger.info("inspection_dropped", job=str(job.pk), why="the artefact was deleted")
        return
    modules = [module.model_dump(mode="json") for module in found.modules]
    # Of a file that is not accepted no module is known, so there is nothing to compare.
    base, judged = judge_base(found.summary, modules) if found.valid else (None, [])
    problems = [problem.model_dump(mode="json") for problem in (*found.problems, *judged)]
    refused = any(problem["severity"] == "error" for problem in problems) or not found.valid
    artifact.state = Artifact.State.INVALID if refused else Artifact.State.VALID
    artifact.problems = problems
    artifact.summary = found.summary.model_dump(mode="json")
    artifact.modules = modules
    artifact.signature = list(found.signature) or None
    # Where modules differ (merges, rank patterns) the largest one counts.
    artifact.rank = max(found.summary.ranks, default=found.summary.rank)
    artifact.base = base
    artifact.save()
    alerts.crashed_checks(job, artifact, found.problems)
    users = Adapter.objects.filter(pk__in=artifact.versions.values("adapter"), deleted_at=None)
    for adapter in users.select_for_update(of=("self",)).select_related("owner", "base").order_by("pk"):
        _follow(adapter, artifact, base)


def _follow(adapter: Adapter, artifact: Artifact, base: Base | None) -> None:
    """What an adapter with a version on this artefact takes over: the version itself once it is accepted, the base."""
    stands = adapter.current is not None and adapter.current.artifact_id == artifact.pk
    if not stands and (artifact.state != Artifact.State.VALID or not advance(adapter, artifact)):
        return
    set_base(adapter, artifact, found=base, name=base_name_of(artifact))
    adapter.save(update_fields=["base", "base_name"])
    if artifact.state == Artifact.State.VALID:
        embed_when_valid(adapter)


@register_failure(KIND)
def record_failed_inspection(job: Job) -> None:
    """A check that crashed, was lost or taken back means "not accepted", and says how to try again."""
    artifact = Artifact.objects.select_for_update(no_key=True).filter(pk=job.subject["artifact"]).first()
    undecided = (Artifact.State.PENDING, Artifact.State.VALIDATING)
    if artifact is None or artifact.state not in undecided:
        return
    if inspections_of(artifact).exclude(pk=job.pk).exclude(state__in=Job.ENDED).exists():
        return
    why = "was cancelled" if job.state == Job.State.CANCELLED else f"could not be finished: {job.error_message}"
    problem = error(
        CHECK_FAILED,
        "",
        f"The check {why}".rstrip(". ") + ". An adapter that was not checked is not accepted.",
        f"Choose “Check again” on the upload's page. If it fails again, tell the operator the job's number {job.pk}.",
    )
    Artifact.objects.filter(pk=artifact.pk).update(
        state=Artifact.State.INVALID, problems=[problem.model_dump(mode="json")]
    )
    if job.state != Job.State.CANCELLED:
        alerts.unfinished_check(job, artifact)
