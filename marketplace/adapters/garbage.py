"""Garbage collection: mark and sweep with a day of grace.

Bytes are kept for versions of adapters that are there or can be restored, for whatever moderators have taken down, for
uploads that wait to be published, and for what other parts of the site register (``register_keeper``). Everything else
goes, and its quota with it; blocked bytes go at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from marketplace.adapters.models import Artifact, Blob, Upload, Version, VersionFile
from marketplace.adapters.purging import drop_versions, enforce_blocks, forget_bytes, forgotten_blobs, purge_deleted
from marketplace.adapters.services.artifacts import is_being_checked
from marketplace.core.store import blob_store

log = structlog.get_logger(__name__)

GRACE = timedelta(hours=24)

Keeper = Callable[[], Iterable[str]]
_keepers: list[Keeper] = []


def register_keeper(keeper: Keeper) -> Keeper:
    """Decorator: never collect the sha256 digests that ``keeper()`` names, as long as it names them.

    For bytes that no version and no upload points to, such as the result of an export that somebody still loads. Asked
    once per collection; register in the app's ``ready``.
    """
    if keeper not in _keepers:
        _keepers.append(keeper)
    return keeper


@dataclass
class Collected:
    """How much went; ``size`` in bytes as far as it is known."""

    uploads: int = 0
    #: Adapters that nobody can restore any more.
    purged: int = 0
    versions: int = 0
    artifacts: int = 0
    blobs: int = 0
    size: int = 0


def collect_garbage() -> Collected:
    """Collect once; safe beside uploads and merges under way, and beside itself."""
    horizon = timezone.now() - GRACE
    found = Collected()
    expired = timezone.now() - timedelta(days=settings.UPLOAD_KEEP_DAYS)
    found.uploads = Upload.objects.filter(created_at__lt=expired).delete()[1].get("adapters.Upload", 0)
    found.purged = purge_deleted()
    found.versions = drop_versions()
    for _, size in enforce_blocks():
        found.blobs, found.size = found.blobs + 1, found.size + size
    for artifact in _unused_artifacts().filter(created_at__lt=horizon).values_list("pk", flat=True):
        found.artifacts += _drop_artifact(artifact)
    kept = _kept()
    for sha256 in list(forgotten_blobs(horizon).values_list("pk", flat=True)):
        if sha256 not in kept and (size := forget_bytes(sha256, forgotten_blobs(horizon))):
            found.blobs, found.size = found.blobs + 1, found.size + size
    for sha256 in _unused_blobs().filter(created_at__lt=horizon).values_list("pk", flat=True):
        if sha256 not in kept:
            _drop_blob(sha256, horizon, found)
    for sha256 in blob_store().stored_before(horizon.timestamp()):
        if sha256 not in kept:
            _drop_unknown(sha256, found)
    if any(asdict(found).values()):
        log.info("garbage_collected", **asdict(found))
    return found


def _unused_artifacts() -> QuerySet[Artifact]:
    return Artifact.objects.filter(
        ~Exists(Version.objects.filter(artifact=OuterRef("pk"))),
        ~Exists(Upload.objects.filter(artifact=OuterRef("pk"))),
    )


def _drop_artifact(pk: int) -> int:
    with transaction.atomic():
        # An upload that has just found this row holds its lock.
        row = Artifact.objects.select_for_update(skip_locked=True).filter(pk=pk).first()
        if row is None or is_being_checked(row) or not _unused_artifacts().filter(pk=pk).exists():
            return 0
        row.delete()
    return 1


def _kept() -> set[str]:
    """What has to stay although no version points to it."""
    waiting = Upload.objects.filter(state=Upload.State.READY).values_list("files", flat=True)
    return {file["sha256"] for files in waiting for file in files} | {
        sha256 for keeper in _keepers for sha256 in keeper()
    }


def _unused_blobs() -> QuerySet[Blob]:
    return Blob.objects.filter(
        ~Exists(VersionFile.objects.filter(blob=OuterRef("pk"))),
        ~Exists(Artifact.objects.filter(Q(config_blob=OuterRef("pk")) | Q(weights_blob=OuterRef("pk")))),
    )


def _drop_blob(sha256: str, horizon: datetime, found: Collected) -> None:
    """Delete the row and, before anybody else may insert it again, the bytes."""
    with transaction.atomic():
        row = Blob.objects.select_for_update(skip_locked=True).filter(pk=sha256, created_at__lt=horizon).first()
        if row is None or not _unused_blobs().filter(pk=sha256).exists():
            return
        found.blobs, found.size = found.blobs + 1, found.size + row.size
        row.delete()
        blob_store().delete(sha256)


def _drop_unknown(sha256: str, found: Collected) -> None:
    """Delete bytes without a row: an upload broke off in its last step, or a job's result was never recorded."""
    with transaction.atomic():
        # Inserted to hold off whoever wants to insert it now; they store the bytes afterwards.
        rows = Blob.objects.bulk_create([Blob(sha256=sha256, git_sha1="", size=0)], ignore_conflicts=True)
        if not _unused_blobs().filter(pk=rows[0].pk, git_sha1="", size=0).exists():
            return
        found.blobs += 1
        blob_store().delete(sha256)
        Blob.objects.filter(pk=sha256).delete()
