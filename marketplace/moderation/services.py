"""Reports and decisions."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from marketplace import policy
from marketplace.accounts.models import User
from marketplace.adapters.lineage_graph import descendant_ids
from marketplace.adapters.models import Adapter
from marketplace.core.errors import Conflict, Forbidden, Invalid
from marketplace.jobs.checking import recheck_later
from marketplace.moderation import audit, blocking, tasks
from marketplace.moderation.models import Decision, Report
from marketplace.moderation.notices import tell_decided

MAX_TEXT = 4000

_Moderation = Adapter.Moderation
_Action = Decision.Action
#: Which moderation states an action leaves, and the one it leads to (None: stays as it is).
TRANSITIONS: dict[str, tuple[frozenset[str], str | None]] = {
    _Action.QUARANTINE: (frozenset({_Moderation.VISIBLE}), _Moderation.QUARANTINED),
    _Action.RESTORE: (frozenset({_Moderation.QUARANTINED, _Moderation.REMOVED}), _Moderation.VISIBLE),
    _Action.REMOVE: (frozenset({_Moderation.VISIBLE, _Moderation.QUARANTINED}), _Moderation.REMOVED),
    _Action.DISMISS: (frozenset(_Moderation.values), None),
}


def report_adapter(*, user: User | None, adapter: Adapter, reason: str, text: str = "") -> Report:
    """Say that an adapter breaks a rule; ``user`` None is an anonymous report.

    Callers have to have looked the adapter up as ``user`` (``adapters.selectors.get_adapter``), so that nobody learns
    of an adapter by reporting it. A second report of the same person for the same reason, while the first is open,
    replaces its text. Raises ``Invalid``.
    """
    reporter = user if user is not None and user.is_authenticated else None
    text = text.strip()
    faults: dict[str, list[str]] = {}
    if reason not in Report.Reason.values:
        faults["reason"] = [f"Choose one of: {', '.join(Report.Reason.values)}."]
    if len(text) > MAX_TEXT:
        faults["text"] = [f"Use at most {MAX_TEXT} characters; this has {len(text)}."]
    if reason == Report.Reason.OTHER and not text:
        faults["text"] = ["Say what is wrong, in a sentence or two."]
    if faults:
        raise Invalid(" ".join(sentence for fault in faults.values() for sentence in fault), extra={"fields": faults})
    with transaction.atomic():
        report = None
        if reporter is not None:
            report = (
                Report.objects.select_for_update()
                .filter(adapter=adapter, reporter=reporter, reason=reason, state=Report.State.OPEN)
                .first()
            )
        if report is None:
            report = Report.objects.create(adapter=adapter, reporter=reporter, reason=reason, text=text)
        else:
            report.text = text
            report.save(update_fields=["text"])
        audit.record(actor=reporter, action="adapter.report", target=adapter.full_name, report=report.pk, reason=reason)
    return report


def decide(*, moderator: User, adapter: Adapter, action: str, reason: str) -> Decision:
    """Quarantine, restore or remove an adapter, or dismiss its reports; closes every open report on it.

    Possible without a report. The owner is told on the site, and by e-mail after the transaction. Raises ``Forbidden``
    without the permission ``accounts.moderate``, ``Invalid`` without a reason, ``Conflict`` when the adapter's state
    does not allow the action (somebody else decided first).
    """
    if not policy.may_moderate(moderator):
        raise Forbidden("Only moderators may decide on adapters.")
    reason = reason.strip()
    if action not in TRANSITIONS:
        raise Invalid(f"Choose one of: {', '.join(TRANSITIONS)}.", extra={"fields": {"action": ["Unknown action."]}})
    if not reason or len(reason) > MAX_TEXT:
        sentence = f"Give a reason of 1 to {MAX_TEXT} characters; the owner reads it."
        raise Invalid(sentence, extra={"fields": {"reason": [sentence]}})
    with transaction.atomic():
        locked = Adapter.objects.select_for_update(of=("self",)).select_related("owner").get(pk=adapter.pk)
        before = locked.moderation
        _apply(locked, action)
        closed = Report.objects.filter(adapter=locked, state=Report.State.OPEN).update(state=Report.State.CLOSED)
        if action == _Action.DISMISS and not closed:
            raise Conflict(f"{locked.full_name} has no open report to dismiss.", code="no_open_report")
        decision = Decision.objects.create(
            adapter=locked,
            moderator=moderator,
            action=action,
            reason=reason,
            # A dismissal changes nothing for the owner, who may not even know of the reports.
            notified_at=timezone.now() if action == _Action.DISMISS else None,
        )
        audit.record(
            actor=moderator,
            action=f"adapter.{action}",
            target=locked.full_name,
            decision=decision.pk,
            reason=reason,
            before=before,
            after=locked.moderation,
            reports_closed=closed,
            blocked=_follow(decision),
        )
        if locked.moderation != _Moderation.VISIBLE:
            recheck_later()
        tell_decided(decision)
        # A broker that does not answer only delays the mail: beat sends what was not sent.
        transaction.on_commit(tasks.mail_decisions.delay, robust=True)
    adapter.moderation = locked.moderation
    return decision


def quarantine_with_descendants(*, moderator: User, adapter: Adapter, reason: str) -> list[Decision]:
    """Quarantine an adapter and everything that was made of it, however indirectly and whoever sees it, in one
    transaction; each gets its own decision and audit entry. What is in quarantine already stays as it is.

    Raises as ``decide`` does, also where nothing is left to quarantine; nothing is changed then.
    """
    # Owners of these may not know the adapter that theirs was made from, several generations before.
    of_owners = f"Made, directly or indirectly, from an adapter that is in quarantine. {reason.strip()}"[:MAX_TEXT]
    with transaction.atomic():
        decisions = []
        of_it = Adapter.objects.filter(pk__in=descendant_ids([adapter.pk]), moderation=_Moderation.VISIBLE)
        descendants = list(of_it.select_related("owner").order_by("pk"))
        adapter.refresh_from_db(fields=["moderation"])
        if adapter.moderation != _Moderation.QUARANTINED or not descendants:
            decisions.append(decide(moderator=moderator, adapter=adapter, action=_Action.QUARANTINE, reason=reason))
        for descendant in descendants:
            decisions.append(
                decide(moderator=moderator, adapter=descendant, action=_Action.QUARANTINE, reason=of_owners)
            )
    return decisions


def _follow(decision: Decision) -> list[str]:
    """What a decision means for the adapter's bytes and for offers of it; the digests that it blocked."""
    if decision.action == _Action.RESTORE:
        blocking.unblock_restored(decision.adapter)
    if decision.action in (_Action.QUARANTINE, _Action.REMOVE):
        blocking.withdraw_offers(decision.adapter)
    if decision.action == _Action.REMOVE:
        return [block.sha256 for block in blocking.block_removed(decision)]
    return []


def _apply(adapter: Adapter, action: str) -> None:
    allowed, state = TRANSITIONS[action]
    if adapter.moderation not in allowed:
        raise Conflict(
            f"{adapter.full_name} is {adapter.get_moderation_display().lower()}, so it cannot be {_PAST[action]}.",
            code="moderation_state",
            extra={"moderation": adapter.moderation},
        )
    if state is not None:
        adapter.moderation = state
        adapter.updated_at = timezone.now()
        adapter.save(update_fields=["moderation", "updated_at"])


_PAST: dict[str, str] = {
    _Action.QUARANTINE: "quarantined",
    _Action.RESTORE: "restored",
    _Action.REMOVE: "removed",
    _Action.DISMISS: "dismissed",
}
