"""Blobs and artefacts as rows, and the job that checks an artefact."""

from __future__ import annotations

from collections.abc import Iterable

from django.db.models import QuerySet
from django.utils import timezone

from inference_worker.blobs import BlobInfo
from inference_worker.contracts.common import AdapterFiles
from inference_worker.contracts.inspect import InspectRequest
from marketplace.accounts.models import User
from marketplace.adapters.models import Adapter, Artifact, Blob
from marketplace.core.errors import Conflict
from marketplace.jobs import services as jobs
from marketplace.jobs.models import Job
from marketplace.moderation.selectors import blocks_of

KIND = "inspect"
#: The problem of an artefact whose check crashed, was lost or cancelled.
CHECK_FAILED = "check_failed"
#: Problems that say nothing about the files: the check was lost, or it crashed.
NO_VERDICT = frozenset({CHECK_FAILED, "check_crashed"})


def keep_blobs(infos: Iterable[BlobInfo]) -> dict[str, Blob]:
    """Rows for ``infos`` by sha256; known ones are marked as needed now, which locks them against collection.

    Inserted in the order of their digests, so that two uploads of the same bytes wait for each other instead of
    locking each other out. Call inside a transaction, before the bytes are moved into place. Raises ``Conflict`` for
    bytes on the block list: every way into the store passes here.
    """
    infos = list(infos)
    _check_blocked(infos)
    now = timezone.now()
    rows = {
        info.sha256: Blob(sha256=info.sha256, git_sha1=info.git_sha1, size=info.size, created_at=now) for info in infos
    }
    ordered = [rows[sha256] for sha256 in sorted(rows)]
    # Length and git's digest are written again for rows whose bytes had gone.
    fields = ["created_at", "git_sha1", "size"]
    Blob.objects.bulk_create(ordered, update_conflicts=True, unique_fields=["sha256"], update_fields=fields)
    return rows


def blobs_of(adapter: Adapter) -> list[BlobInfo]:
    """Every blob of every version, for the quota of whoever gets the adapter (back)."""
    blobs = Blob.objects.filter(pk__in=adapter.versions.values("files__blob"))
    return [BlobInfo(blob.sha256, blob.git_sha1, blob.size) for blob in blobs]


def _check_blocked(infos: Iterable[BlobInfo]) -> None:
    block = blocks_of(info.sha256 for info in infos).first()
    if block is not None:
        raise Conflict(
            f"A moderator has blocked these bytes (sha256 {block.sha256[:12]}…): {block.reason}",
            code="bytes_blocked",
            extra={"sha256": block.sha256},
        )


def get_artifact(*, config: Blob, weights: Blob) -> tuple[Artifact, bool]:
    """The artefact of these bytes, and whether it is new. It is locked, so that nobody collects it meanwhile."""
    while True:
        artifact, created = Artifact.objects.get_or_create(
            config_blob=config, weights_blob=weights, defaults={"size": config.size + weights.size}
        )
        if created:
            return artifact, True
        locked = Artifact.objects.select_for_update(of=("self",)).filter(pk=artifact.pk).first()
        if locked is not None:
            return locked, False


def request_inspection(*, owner: User, artifact: Artifact, label: str) -> Job:
    """Ask the inspect worker for a check of the files. Names and shapes are compared with bases when its result is
    recorded, with all of them and not only the one that the config names (``bases.findings``)."""
    return jobs.create_job(
        owner=owner,
        kind=KIND,
        request=InspectRequest(
            adapter=AdapterFiles(label=label, config=artifact.config_blob_id, weights=artifact.weights_blob_id)
        ),
        subject={"artifact": artifact.pk},
        title=f"Check of {label}",
    )


def needs_check(artifact: Artifact) -> bool:
    """Whether nobody has decided on the (locked) artefact and no check is under way.

    A check that could not be finished is no verdict: whoever brings the bytes again has them checked again.
    """
    unfinished = artifact.state == Artifact.State.INVALID and any(
        problem.get("code") in NO_VERDICT for problem in artifact.problems
    )
    if is_being_checked(artifact):
        return False
    if unfinished:
        artifact.state, artifact.problems = Artifact.State.PENDING, []
        artifact.save(update_fields=["state", "problems"])
    return artifact.state in (Artifact.State.PENDING, Artifact.State.VALIDATING)


def inspections_of(artifact: Artifact) -> QuerySet[Job]:
    """The checks of an artefact, newest first."""
    return Job.objects.filter(kind=KIND, subject__artifact=artifact.pk).order_by("-created_at")


def is_being_checked(artifact: Artifact) -> bool:
    return running_inspection(artifact) is not None


def running_inspection(artifact: Artifact) -> Job | None:
    """The newest check of an artefact that is under way."""
    return inspections_of(artifact).exclude(state__in=Job.ENDED).first()
