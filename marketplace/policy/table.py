"""The rules as a table for people: who may do what in which state. ``docs/access.md`` shows it."""

from __future__ import annotations

from marketplace.adapters.models import Adapter, Collaborator
from marketplace.policy.actions import Action
from marketplace.policy.adapters import RULES
from marketplace.policy.rules import Facts

_ROLES: dict[str, dict[str, object]] = {
    "anonymous": {},
    "signed in": {"signed_in": True},
    "approved": {"signed_in": True, "approved": True},
    "collaborator, read": {"signed_in": True, "role": Collaborator.Role.READ},
    "collaborator, write": {"signed_in": True, "role": Collaborator.Role.WRITE},
    "owner": {"signed_in": True, "owner": True},
    "moderator": {"signed_in": True, "moderator": True},
}
_STATES: dict[str, dict[str, object]] = {
    "public": {},
    "gated": {"visibility": Adapter.Visibility.GATED},
    "private": {"visibility": Adapter.Visibility.PRIVATE},
    "yanked": {"yanked": True},
    "not accepted": {"accepted": False},
    "quarantined": {"moderation": Adapter.Moderation.QUARANTINED},
    "removed": {"moderation": Adapter.Moderation.REMOVED},
    "deleted": {"deleted": True},
}
LETTERS = {
    Action.LIST: "L",
    Action.VIEW: "V",
    Action.DOWNLOAD: "D",
    Action.USE: "U",
    Action.ASK: "A",
    Action.SEE_DRAFTS: "S",
    Action.EDIT: "E",
    Action.ADMINISTER: "M",
    Action.RESTORE: "R",
    Action.SEE_TOMBSTONE: "T",
}


def table() -> str:
    """Markdown: a row per role, a column per state of an otherwise public adapter, letters for what may be done."""
    lines = [["", *_STATES], ["---"] * (len(_STATES) + 1)]
    for role, who in _ROLES.items():
        cells = [_cell(Facts(**{**state, **who})) for state in _STATES.values()]  # type: ignore[arg-type]
        lines.append([role, *cells])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(facts: Facts) -> str:
    return "".join(letter for action, letter in LETTERS.items() if RULES[action].holds(facts)) or "–"
