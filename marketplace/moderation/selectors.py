"""Reading reports, decisions and the audit log."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import Count, Max, Min, Q, QuerySet

from marketplace import policy
from marketplace.adapters.lineage_graph import descendant_ids
from marketplace.adapters.models import Adapter, Version
from marketplace.adapters.selectors import get_adapter
from marketplace.adapters.tombstones import named
from marketplace.core.errors import Forbidden
from marketplace.moderation.models import AuditEntry, Block, Decision, Report


def open_reports() -> QuerySet[Report]:
    return Report.objects.filter(state=Report.State.OPEN).select_related("adapter__owner", "reporter")


def adapters_to_decide() -> QuerySet[Adapter]:
    """Adapters with open reports, most reported first: ``open_reports``, ``reported_first``, ``reported_last``."""
    is_open = Q(reports__state=Report.State.OPEN)
    return (
        Adapter.objects.filter(is_open)
        .select_related("owner")
        .annotate(
            open_reports=Count("reports", filter=is_open),
            reported_first=Min("reports__created_at", filter=is_open),
            reported_last=Max("reports__created_at", filter=is_open),
        )
        .order_by("-open_reports", "reported_first")
    )


@dataclass(frozen=True)
class Descendants:
    """What was made from an adapter, however indirectly: what the moderator sees of it, how many more there are, and
    how many of all a quarantine would take with it."""

    seen: QuerySet[Adapter]
    hidden: int
    waiting: int


def decidable_adapter(*, moderator: policy.Person, owner: str, name: str) -> Adapter:
    """An adapter that a moderator may decide on: what they see, and what has open reports, for an owner cannot escape
    by turning it private. Raises ``Forbidden``, ``NotFound`` and ``Gone``."""
    if not policy.may_moderate(moderator):
        raise Forbidden("Only moderators may decide on adapters.")
    reported = Adapter.objects.filter(named(owner, name), deleted_at=None, reports__state=Report.State.OPEN)
    found = reported.select_related("owner").first()
    return found or get_adapter(user=moderator, owner=owner, name=name)


def descendants_of(*, moderator: policy.Person, adapter: Adapter) -> Descendants:
    """What was made from an adapter that ``decidable_adapter`` found."""
    made = Adapter.objects.filter(pk__in=descendant_ids([adapter.pk]))
    seen = made.filter(policy.viewable(moderator)).select_related("owner")
    waiting = made.filter(moderation=Adapter.Moderation.VISIBLE).count()
    return Descendants(seen, made.count() - seen.count(), waiting)


def latest_decision(adapter: Adapter) -> Decision | None:
    """The decision that explains the adapter's moderation state; None when it was never touched."""
    return Decision.objects.filter(adapter=adapter).exclude(action=Decision.Action.DISMISS).first()


def refused_bytes(digests: Iterable[str]) -> dict[str, str]:
    """Which of these sha256 digests moderators refuse, with the reason: bytes on the block list, and weights of what is
    in quarantine or removed.

    A decision sticks to the bytes: deleting the adapter or uploading the same weights again cannot escape it.
    """
    asked = list(digests)
    versions = (
        Version.objects.filter(artifact__weights_blob_id__in=asked)
        .exclude(adapter__moderation=Adapter.Moderation.VISIBLE)
        .select_related("adapter", "artifact")
    )
    decisions = {version.artifact.weights_blob_id: latest_decision(version.adapter) for version in versions}
    refused = {sha256: decision.reason if decision else "" for sha256, decision in decisions.items()}
    return refused | {block.sha256: block.reason for block in blocks_of(asked)}


def blocks_of(digests: Iterable[str]) -> QuerySet[Block]:
    """The entries of the block list for these digests."""
    return Block.objects.filter(pk__in=list(digests))


def listed_blocks() -> QuerySet[Block]:
    """The whole block list, newest first."""
    return Block.objects.select_related("blocked_by", "decision__adapter__owner")


def audit_of(target: str) -> QuerySet[AuditEntry]:
    """What happened to one target (``owner/name``), newest first."""
    return AuditEntry.objects.filter(target=target)
