"""How many bytes an owner stores. Identical bytes count once per owner, whoever else stores them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from uuid import UUID

from django.conf import settings
from django.db.models import Sum

from inference_worker.blobs import BlobInfo
from marketplace.accounts.models import User
from marketplace.adapters.models import Adapter, Blob, PartialUpload, Upload, VersionFile
from marketplace.core.errors import QuotaExceeded


def quota_of(user: User) -> int:
    """The user's limit in bytes."""
    return settings.USER_QUOTA_BYTES if user.quota_bytes is None else user.quota_bytes


def _digests_of(user: User) -> set[str]:
    published = VersionFile.objects.filter(version__adapter__owner=user, version__adapter__deleted_at=None)
    pending = Upload.objects.filter(owner=user, state=Upload.State.READY).values_list("files", flat=True)
    return set(published.values_list("blob_id", flat=True)) | {file["sha256"] for files in pending for file in files}


def _restorable_digests_of(user: User) -> set[str]:
    """Deleted, but kept so that it can be brought back. What moderators keep is not the person's to delete."""
    kept = Adapter.objects.filter(
        owner=user, deleted_at__isnull=False, purged_at=None, moderation=Adapter.Moderation.VISIBLE
    )
    return set(VersionFile.objects.filter(version__adapter__in=kept).values_list("blob_id", flat=True))


def restorable_bytes(user: User, without: Collection[str] = ()) -> int:
    """Bytes of the user's deleted adapters alone, as long as they can be restored; ``without`` some digests."""
    kept = _restorable_digests_of(user) - _digests_of(user) - set(without)
    return _size_of(kept)


def _size_of(digests: Collection[str]) -> int:
    return int(Blob.objects.filter(sha256__in=digests).aggregate(total=Sum("size"))["total"] or 0)


def stored_bytes(user: User) -> int:
    """Bytes in all versions of the user's adapters and in uploads that are not published yet."""
    return _size_of(_digests_of(user))


def reserved_bytes(user: User, without: Collection[UUID] = ()) -> int:
    """Announced lengths of the files that arrive in pieces, except those with the ids ``without``."""
    waiting = PartialUpload.objects.filter(owner=user, used_at=None).exclude(pk__in=without)
    return int(waiting.aggregate(total=Sum("length"))["total"] or 0)


def check_room(user: User, length: int) -> None:
    """Raise ``QuotaExceeded`` when ``length`` more bytes cannot arrive. Call with the user's row locked."""
    used, limit = stored_bytes(user) + reserved_bytes(user), quota_of(user)
    if used + length > limit:
        raise _exceeded(length, used, limit)
    _check_deleted(used + length, restorable_bytes(user), limit)


def _check_deleted(used: int, deleted: int, limit: int) -> None:
    """What was deleted is kept for its owner: that has a limit, too, or deleting would make room without end."""
    most = int(limit * (1 + settings.DELETED_QUOTAS))
    if deleted and used + deleted > most:
        raise QuotaExceeded(
            f"You deleted {deleted:,} bytes that are kept so that you can restore them, and with them this is too "
            "much. Delete some of it for good on your account page, or wait until it goes.",
            extra={"used": used, "deleted": deleted, "quota": limit},
        )


def check_quota(user: User, added: Iterable[BlobInfo], releasing: Collection[UUID] = ()) -> None:
    """Raise ``QuotaExceeded`` when ``added`` does not fit. Call with the user's row locked.

    ``releasing``: the files in pieces that ``added`` is made of, which so hold no room of their own.
    """
    own = _digests_of(user)
    new = {info.sha256: info.size for info in added if info.sha256 not in own}
    if not new:
        return
    used, limit = stored_bytes(user) + reserved_bytes(user, releasing), quota_of(user)
    needed = sum(new.values())
    if used + needed > limit:
        raise _exceeded(needed, used, limit)
    _check_deleted(used + needed, restorable_bytes(user, without=new), limit)


def _exceeded(needed: int, used: int, limit: int) -> QuotaExceeded:
    return QuotaExceeded(
        f"This upload needs {needed:,} bytes, and you have {max(0, limit - used):,} of {limit:,} left. "
        "Delete adapters or uploads that you no longer need.",
        extra={"needed": needed, "used": used, "quota": limit},
    )
