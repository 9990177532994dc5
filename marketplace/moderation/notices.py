"""What owners are told of decisions, on the site at once; the letters are ``tasks``."""

from __future__ import annotations

from marketplace.moderation.models import Decision
from marketplace.notifications.models import Kind
from marketplace.notifications.services import notify

#: Per decision that changes something for the owner: what became of the adapter, and what that means.
WORDS = {
    Decision.Action.QUARANTINE: (
        "is in quarantine",
        "Others can no longer see or download it. You still see it, but cannot change it until it is restored.",
    ),
    Decision.Action.RESTORE: ("is restored", "It is as visible as before, and you can change it again."),
    Decision.Action.REMOVE: ("was removed", "It can no longer be downloaded, and the same weights are refused."),
}


def tell_decided(decision: Decision) -> None:
    """Call inside the decision's transaction; a dismissal is no news for the owner."""
    if decision.action not in WORDS:
        return
    headline, consequence = WORDS[Decision.Action(decision.action)]
    notify(
        user=decision.adapter.owner,
        kind=Kind.MODERATION,
        title=f"{decision.adapter.full_name} {headline}",
        text=f"{consequence} Reason: {decision.reason}",
        address=decision.adapter.get_absolute_url(),
        letter=False,
    )
