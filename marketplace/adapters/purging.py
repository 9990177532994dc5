"""What happens to deleted adapters once nobody can restore them, and to bytes that are blocked."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from marketplace.accounts.models import User
from marketplace.adapters.models import Adapter, Artifact, Blob, Embedding, Lineage, Upload, Version, VersionFile
from marketplace.core.store import blob_store
from marketplace.moderation import audit, blocking
from marketplace.moderation.models import Block

#: What is said of a version's weights and files goes; the commit stays, because lineage names it.
_COLUMNS = ["title", "description", "tags", "gate_terms", "visibility", "deleted_at", "purged_at"]

Emptier = Callable[[Adapter], object]
_emptiers: list[Emptier] = []


def register_emptier(emptier: Emptier) -> Emptier:
    """Decorator: call ``emptier(adapter)`` when an adapter is emptied, inside the transaction.

    For other parts of the site that hold something of adapters; register in the app's ``ready``.
    """
    if emptier not in _emptiers:
        _emptiers.append(emptier)
    return emptier


def purge_deleted() -> int:
    """Empty adapters that were deleted more than ``RESTORE_DAYS`` ago; how many.

    Kept are the name, the address's tombstone, and the commits that others were made from. What a moderator has taken
    down stays whole, as evidence, until its owner has been erased for ``REMOVED_KEEP_DAYS``. What a moderator gives
    back to somebody who is erased already ends at once.
    """
    now = timezone.now()
    visible = Q(moderation=Adapter.Moderation.VISIBLE)
    ended = Q(deleted_at__lt=now - timedelta(days=settings.RESTORE_DAYS)) | Q(
        deleted_at=None, owner__erased_at__isnull=False
    )
    evidence = ~visible & Q(owner__erased_at__lt=now - timedelta(days=settings.REMOVED_KEEP_DAYS))
    due = Adapter.objects.filter(visible & ended | evidence, purged_at=None).order_by("pk")
    return sum(_purge(pk, due) for pk in list(due.values_list("pk", flat=True)))


def _purge(pk: int, due: QuerySet[Adapter]) -> bool:
    with transaction.atomic():
        row = due.select_for_update(of=("self",), skip_locked=True).select_related("owner").filter(pk=pk).first()
        if row is None:
            return False
        empty(row, None)
    return True


def empty(row: Adapter, actor: User | None) -> None:
    """Forget what a locked row holds; its bytes go at the next collection. Call inside a transaction."""
    if row.current is None or row.current.artifact.state != Artifact.State.VALID:
        # Nobody but its owner ever saw it, so nobody else is told that it was there.
        row.visibility = Adapter.Visibility.PRIVATE
    row.title = row.description = row.gate_terms = ""
    row.tags, row.purged_at = [], timezone.now()
    row.deleted_at = row.deleted_at or row.purged_at
    row.save(update_fields=_COLUMNS)
    Adapter.objects.filter(pk=row.pk).update(search=None)
    Embedding.objects.filter(adapter=row).delete()
    row.examples.all().delete()
    row.collaborators.all().delete()
    row.access_requests.all().delete()
    VersionFile.objects.filter(version__adapter=row).delete()
    Upload.objects.filter(adapter=row).delete()
    for emptier in _emptiers:
        emptier(row)
    audit.record(actor=actor, action="adapter.purge", target=row.full_name)


def drop_versions() -> int:
    """Delete the versions of purged adapters that nothing was made from; how many."""
    gone = Version.objects.filter(adapter__purged_at__isnull=False)
    childless = gone.filter(~Exists(Lineage.objects.filter(parent=OuterRef("pk"))))
    return childless.delete()[1].get("adapters.Version", 0)


def forgotten_blobs(horizon: datetime) -> QuerySet[Blob]:
    """Bytes that only versions of purged adapters point to. Their rows stay: lineage needs those versions."""
    users = Artifact.objects.filter(Q(config_blob=OuterRef("pk")) | Q(weights_blob=OuterRef("pk")))
    purged = Version.objects.filter(artifact=OuterRef("pk"), adapter__purged_at__isnull=False)
    there = Version.objects.filter(artifact=OuterRef("pk"), adapter__purged_at=None)
    waiting = Upload.objects.filter(artifact=OuterRef("pk"))
    return Blob.objects.filter(
        ~Exists(VersionFile.objects.filter(blob=OuterRef("pk"))),
        ~Exists(users.filter(Exists(there) | Exists(waiting) | ~Exists(purged))),
        Exists(users),
        created_at__lt=horizon,
    ).exclude(git_sha1="")


def forget_bytes(sha256: str, rows: QuerySet[Blob]) -> int:
    """Delete the bytes of a row of ``rows`` and mark it: without git's digest, there are no bytes. How many there
    were."""
    with transaction.atomic():
        row = rows.select_for_update(skip_locked=True, of=("self",)).filter(pk=sha256).first()
        if row is None:
            return 0
        size = row.size
        Blob.objects.filter(pk=sha256).update(size=0, git_sha1="")
        blob_store().delete(sha256)
    return size


def enforce_blocks() -> list[tuple[str, int]]:
    """Delete stored bytes that are blocked, at once and whoever needs them, and take offline what holds them: an upload
    may have been under way when they were blocked. (digest, bytes) of what went."""
    with transaction.atomic():
        blocking.take_offline(Block.objects.select_related("blocked_by"))
    found = []
    for sha256 in Block.objects.filter(delete_after__lte=timezone.now()).values_list("pk", flat=True):
        if blob_store().has(sha256):
            size = blob_store().size(sha256)
            with transaction.atomic():
                Blob.objects.select_for_update().filter(pk=sha256).update(size=0, git_sha1="")
                blob_store().delete(sha256)
            found.append((sha256, size))
    return found
