"""The block list: bytes that moderators refuse, whoever brings them and by whatever way.

``adapters.services.artifacts.keep_blobs`` asks it for every file that is stored, ``adapters.garbage`` deletes what is
stored already. Adapters that hold blocked bytes are put in quarantine with the reason.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from marketplace import policy
from marketplace.accounts.models import User
from marketplace.adapters.models import Adapter, Transfer
from marketplace.core.errors import Conflict, Forbidden, Invalid, NotFound
from marketplace.jobs.checking import recheck_later
from marketplace.moderation import audit
from marketplace.moderation.models import SHA256, Block, Decision
from marketplace.moderation.notices import tell_decided

MAX_REASON = 4000


def block_digest(*, moderator: User, sha256: str, reason: str) -> Block:
    """Refuse these bytes from now on; what is stored of them goes at the next collection.

    Adapters that hold them go into quarantine. Blocking again replaces the reason. Raises ``Forbidden``, ``Invalid``.
    """
    sha256, reason = sha256.strip().lower().removeprefix("sha256:"), reason.strip()
    _check_moderator(moderator)
    faults = {}
    if not SHA256.regex.match(sha256):  # type: ignore[union-attr]
        faults["sha256"] = [str(SHA256.message)]
    if not reason or len(reason) > MAX_REASON:
        faults["reason"] = [f"Give a reason of 1 to {MAX_REASON} characters; owners of these bytes read it."]
    if faults:
        raise Invalid(" ".join(words for found in faults.values() for words in found), extra={"fields": faults})
    with transaction.atomic():
        now = timezone.now()
        block, _ = Block.objects.update_or_create(
            sha256=sha256,
            defaults={"reason": reason, "blocked_by": moderator, "decision": None, "delete_after": now},
        )
        offline = take_offline([block])
        audit.record(
            actor=moderator, action="bytes.block", target=sha256, reason=reason,
            adapters=[adapter.full_name for adapter in offline],
        )  # fmt: skip
    return block


def unblock_digest(*, moderator: User, sha256: str, reason: str = "") -> None:
    """Let these bytes in again. Adapters that were put in quarantine for them stay there until somebody restores them,
    and bytes that are gone have to be uploaded again. Raises ``NotFound`` for what is not blocked."""
    _check_moderator(moderator)
    with transaction.atomic():
        block = Block.objects.select_for_update().filter(pk=sha256.strip().lower()).first()
        if block is None:
            raise NotFound("These bytes are not on the block list.")
        audit.record(
            actor=moderator, action="bytes.unblock", target=block.sha256, reason=reason, blocked_for=block.reason
        )
        block.delete()


def _check_moderator(person: User) -> None:
    if not policy.may_moderate(person):
        raise Forbidden("Only moderators may change the block list.")


def block_removed(decision: Decision) -> list[Block]:
    """Block the weights of an adapter that was just removed; its own bytes stay for ``REMOVED_KEEP_DAYS``, in case the
    decision is appealed. Call inside the decision's transaction."""
    digests = decision.adapter.versions.values_list("artifact__weights_blob_id", flat=True).distinct()
    until = timezone.now() + timedelta(days=settings.REMOVED_KEEP_DAYS)
    words = {"reason": decision.reason, "decision": decision, "blocked_by": decision.moderator, "delete_after": until}
    blocks = [Block.objects.get_or_create(sha256=digest, defaults=words)[0] for digest in sorted(digests)]
    take_offline(blocks)
    return blocks


def unblock_restored(adapter: Adapter) -> None:
    """Forget what an adapter's removal had blocked. Raises ``Conflict`` when bytes of it are blocked for another
    reason, or gone. Call inside the decision's transaction."""
    Block.objects.filter(decision__adapter=adapter).delete()
    held = adapter.versions.values("files__blob")
    other = Block.objects.filter(pk__in=held).first()
    if other is not None:
        raise Conflict(
            f"{adapter.full_name} holds bytes that are blocked ({other.sha256[:12]}…: {other.reason}). Unblock them "
            "first.",
            code="bytes_blocked",
            extra={"sha256": other.sha256},
        )
    if adapter.current is not None and adapter.current.files.filter(blob__git_sha1="").exists():
        raise Conflict(f"The files of {adapter.full_name} are gone, so it cannot be restored.", code="bytes_gone")


def take_offline(blocks: Iterable[Block]) -> list[Adapter]:
    """Put adapters that hold blocked bytes in quarantine, with the reason; those that this changed. Call inside a
    transaction."""
    reasons = {block.sha256: block for block in blocks}
    found = Adapter.objects.filter(
        moderation=Adapter.Moderation.VISIBLE, versions__files__blob__in=list(reasons)
    ).values("pk")
    rows = Adapter.objects.select_for_update(of=("self",)).select_related("owner").filter(pk__in=found).order_by("pk")
    changed = list(rows)
    for adapter in changed:
        digest = adapter.versions.filter(files__blob__in=list(reasons)).values_list("files__blob", flat=True)
        _quarantine(adapter, next(reasons[sha256] for sha256 in digest if sha256 in reasons))
    if changed:
        recheck_later()
    return changed


def _quarantine(adapter: Adapter, block: Block) -> None:
    adapter.moderation, adapter.updated_at = Adapter.Moderation.QUARANTINED, timezone.now()
    adapter.save(update_fields=["moderation", "updated_at"])
    withdraw_offers(adapter)
    decision = Decision.objects.create(
        adapter=adapter,
        moderator=block.blocked_by,
        action=Decision.Action.QUARANTINE,
        reason=f"It holds bytes that are blocked (sha256 {block.sha256[:12]}…). {block.reason}",
    )
    tell_decided(decision)
    audit.record(
        actor=block.blocked_by,
        action="adapter.quarantine",
        target=adapter.full_name,
        decision=decision.pk,
        blocked=block.sha256,
    )


def withdraw_offers(adapter: Adapter) -> None:
    """What is taken down does not change hands."""
    waiting = adapter.transfers.filter(state=Transfer.State.WAITING)
    waiting.update(state=Transfer.State.WITHDRAWN, decided_at=timezone.now())
