"""Which upload files in pieces became: said in its own transaction, so that no kill and no machine makes a second."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from uuid import UUID

from django.utils import timezone

from marketplace.adapters.models import PartialUpload, Upload
from marketplace.core.errors import Conflict


class PartsUsed(Conflict):
    """Files in pieces became another upload."""

    code = "part_used"

    def __init__(self) -> None:
        super().__init__("Some of these files went into another upload already. Send them again.")


def lock_parts(parts: Collection[UUID]) -> None:
    """Hold the rows until the transaction ends. Raises ``PartsUsed`` when not all of them are free any more."""
    free = PartialUpload.objects.select_for_update().filter(pk__in=parts, used_at=None).order_by("pk")
    if len(free) != len(parts):
        raise PartsUsed


def mark_parts(parts: Collection[UUID], upload: Upload) -> None:
    """Their bytes went into ``upload``. Call with the rows locked."""
    PartialUpload.objects.filter(pk__in=parts).update(upload=upload, used_at=timezone.now())


def upload_of(rows: Sequence[PartialUpload]) -> Upload:
    """The one upload that all of ``rows`` became. Raises ``PartsUsed`` when they did not."""
    upload = rows[0].upload
    if upload is None or {row.upload_id for row in rows} != {upload.pk}:
        raise PartsUsed
    return upload
