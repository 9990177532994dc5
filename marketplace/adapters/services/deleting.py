"""The end of an adapter, and the way back.

A deleted adapter leaves a tombstone: its address says that it was there, and what was made from it goes on naming it.
Its owner can restore it for ``RESTORE_DAYS``; then ``garbage`` purges what it held. The name stays taken for ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from marketplace import policy
from marketplace.accounts.models import User
from marketplace.adapters.models import Adapter, Embedding, Transfer
from marketplace.adapters.purging import empty
from marketplace.adapters.services.artifacts import blobs_of
from marketplace.adapters.services.naming import lock_names
from marketplace.adapters.services.renaming import locked_for_owner
from marketplace.adapters.services.retiring import settle_current
from marketplace.adapters.services.visibility import check_publishable
from marketplace.adapters.tombstones import restorable_until
from marketplace.adapters.uploads.quota import check_quota
from marketplace.core.errors import AppError, Conflict, Gone, NotFound
from marketplace.jobs.checking import recheck_later
from marketplace.moderation import audit
from marketplace.moderation.selectors import refused_bytes


def delete_adapter(*, user: User, adapter: Adapter) -> None:
    """Delete an adapter. Its name stays taken, and what was made from it keeps its lineage. Offers of it end."""
    with transaction.atomic():
        entomb([locked_for_owner(user, adapter)], user)


def entomb(rows: Sequence[Adapter], actor: User) -> None:
    """Mark locked rows as deleted, and have whatever rests on them stopped. Call inside a transaction, permission
    checked."""
    at = timezone.now()
    for row in rows:
        row.deleted_at = row.updated_at = at
        row.search = None
        row.save(update_fields=["deleted_at", "updated_at", "search"])
        Embedding.objects.filter(adapter=row).delete()
        withdraw_offers(row, at)
        audit.record(actor=actor, action="adapter.delete", target=row.full_name, visibility=row.visibility)
    if rows:
        recheck_later()


def withdraw_offers(adapter: Adapter, at: datetime) -> None:
    """End the offers of an adapter that cannot change hands any more."""
    waiting = adapter.transfers.filter(state=Transfer.State.WAITING)
    waiting.update(state=Transfer.State.WITHDRAWN, decided_at=at)


def restore_adapter(*, user: User, adapter: Adapter) -> Adapter:
    """Bring a deleted adapter back with its versions, examples and collaborators; its vectors are asked for anew.

    It is as visible as before, where that is still possible, else private. Restoring what is there is no fault. Raises
    ``Gone`` after ``RESTORE_DAYS``, ``Conflict`` for what moderators took down, ``QuotaExceeded``.
    """
    with transaction.atomic():
        lock_names(adapter.owner)
        row = _locked(user, adapter)
        if row.deleted_at is None:
            return row
        _check_restorable(row)
        check_quota(row.owner, blobs_of(row))
        row.deleted_at, row.updated_at = None, timezone.now()
        row.visibility = _visibility_now(row)
        # Writing the title has the database write the words for search again.
        row.save(update_fields=["deleted_at", "updated_at", "visibility", "title"])
        # A check may have ended, or a version may have been taken down, while it was away.
        settle_current(row)
        audit.record(actor=user, action="adapter.restore_deleted", target=row.full_name, visibility=row.visibility)
    return row


def purge_adapter(*, user: User, adapter: Adapter) -> None:
    """Give up the days in which a deleted adapter could be restored: its files go at the next collection.

    Purging twice is no fault. Raises ``NotFound``, and ``Conflict`` for what is not deleted or a moderator took down.
    """
    with transaction.atomic():
        row = _locked(user, adapter)
        if row.purged_at is not None:
            return
        if row.deleted_at is None:
            raise Conflict(f"Delete {row.full_name} first; then it can be deleted for good.", code="not_deleted")
        if not policy.may(user, policy.Action.RESTORE, row):
            raise Conflict(f"A moderator keeps {row.full_name}, so it cannot be deleted for good.", code="moderated")
        empty(row, user)


def _locked(user: User, adapter: Adapter) -> Adapter:
    rows = Adapter.objects.select_for_update(of=("self",)).select_related("owner", "base", "current__artifact")
    row = rows.filter(pk=adapter.pk).first()
    if row is None or not user.is_authenticated or row.owner_id != user.pk:
        raise NotFound(f"There is no deleted adapter {adapter.full_name} of yours.")
    return row


def _check_restorable(row: Adapter) -> None:
    until = restorable_until(row)
    if until is None or until <= timezone.now():
        raise Gone(f"{row.full_name} was deleted more than {settings.RESTORE_DAYS} days ago; its files are gone.")
    if not policy.may(row.owner, policy.Action.RESTORE, row):
        state = row.get_moderation_display().lower()
        raise Conflict(f"A moderator has {state} {row.full_name}, so it cannot be restored.", code="moderated")
    if refused_bytes(row.versions.values_list("artifact__weights_blob_id", flat=True)):
        raise Conflict(
            f"A moderator has taken down weights of {row.full_name}, so it cannot be restored.",
            code="weights_taken_down",
        )


def _visibility_now(row: Adapter) -> str:
    """As before; private where a parent of a merge went out of sight meanwhile."""
    if row.visibility == Adapter.Visibility.PRIVATE:
        return row.visibility
    try:
        check_publishable(row, row.visibility)
    except AppError:
        return Adapter.Visibility.PRIVATE
    return row.visibility
