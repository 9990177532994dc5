"""The words for what the rules forbid."""

from __future__ import annotations

from marketplace.adapters.models import Adapter, Version
from marketplace.core.errors import AppError, Conflict, Forbidden, Invalid, NotFound
from marketplace.policy.actions import Action
from marketplace.policy.rules import Facts, accepted, gated, in_order, offered


def access_address(adapter: Adapter) -> str:
    """The page where people ask for a gated adapter, as a path."""
    return f"{adapter.get_absolute_url()}/access"


def not_there(label: str) -> NotFound:
    """For what somebody may not see. They know no name of it but ``label``, by which it was asked for or planned."""
    return NotFound(f"{label or 'An adapter that is needed here'} is no longer yours to use, or is gone.")


def refusal(action: Action, facts: Facts, adapter: Adapter, version: Version | None) -> AppError:
    """Why ``action`` is refused to somebody who may see the adapter."""
    name = adapter.full_name
    state = adapter.get_moderation_display().lower()
    if action in (Action.EDIT, Action.ADMINISTER) and facts.owner and not in_order.holds(facts):
        return Forbidden(f"{name} is {state} by a moderator and cannot be changed.", code="moderated")
    if action == Action.USE and not in_order.holds(facts):
        return Conflict(
            f"{name} cannot be used: a moderator has {state} it. Its page says why.", code="member_taken_down"
        )
    if action == Action.USE and not accepted.holds(facts):
        return _not_accepted(name, version or adapter.current)
    if action == Action.USE and not offered.holds(facts):
        return _yanked(name, adapter.current)
    if action in (Action.DOWNLOAD, Action.USE) and gated.holds(facts):
        return Forbidden(
            f"{name} is gated: its owner decides who gets its files and answers. Ask at {access_address(adapter)}.",
            code="access_required",
            extra={"ask_at": access_address(adapter)},
        )
    return _in_general(action, adapter)


def _not_accepted(name: str, version: Version | None) -> AppError:
    if version is None:
        return Invalid(f"{name} has no version yet. Wait until its upload is published.")
    state = version.artifact.get_state_display().lower()
    return Invalid(f"{name} cannot be used: it is {state}. Its page says why.", code="member_not_valid")


def _yanked(name: str, version: Version | None) -> AppError:
    reason = f" Its owner says: {version.yank_reason}" if version is not None else ""
    return Conflict(f"{name} cannot be used for anything new: every version of it is yanked.{reason}", code="yanked")


def _in_general(action: Action, adapter: Adapter) -> AppError:
    name, owner = adapter.full_name, adapter.owner.username
    if action in (Action.DOWNLOAD, Action.USE, Action.SEE_DRAFTS):
        return NotFound(f"There is nothing of {name} here that is yours to load.")
    if action == Action.ASK:
        return Conflict(
            f"There is nothing to ask for: {name} is not gated, or not gated for you.", code="nothing_to_ask"
        )
    if action == Action.EDIT:
        return Forbidden(f"Only {owner}, and whoever they let write, may change {name}.")
    return Forbidden(f"Only {owner} may do this with {name}.")
