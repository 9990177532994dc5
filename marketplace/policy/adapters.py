"""The rules about adapters, from who may see one down to who may give it away."""

from __future__ import annotations

from django.db.models import Q

from marketplace.adapters.models import Adapter, Version
from marketplace.policy.actions import Action
from marketplace.policy.people import Person
from marketplace.policy.refusals import not_there, refusal
from marketplace.policy.rules import (
    Rule,
    accepted,
    approved,
    collaborator,
    deleted,
    facts_of,
    gated,
    in_order,
    moderator,
    offered,
    owner,
    public,
    purged,
    removed,
    signed_in,
    writer,
)

_there = ~deleted
_open = accepted & in_order
_shown = public | gated
#: Who works on it beside its owner; what a moderator has taken down is between moderator and owner.
_author = owner | (writer & in_order)
#: Somebody whom it is open to, as far as its state lets anybody have it.
_granted = collaborator | public | (gated & approved)
#: Moderators see what everybody sees in any state, and whatever a decision was taken on; gated files stay gated.
_evidence = moderator & ~in_order

_seen = _author | (_open & (_shown | collaborator))
_supervised = (moderator & _shown) | _evidence

RULES: dict[Action, Rule] = {
    Action.LIST: _there & (_author | (_seen & offered)),
    Action.VIEW: _there & (_seen | _supervised),
    Action.DOWNLOAD: _there & ((~removed & (_author | (_open & _granted))) | (moderator & public) | _evidence),
    Action.USE: _there & _open & offered & (owner | _granted),
    Action.ASK: _there & _open & gated & signed_in & ~(owner | collaborator | approved),
    Action.SEE_DRAFTS: _there & _author,
    Action.EDIT: _there & in_order & _author,
    Action.ADMINISTER: _there & in_order & owner,
    Action.RESTORE: deleted & ~purged & in_order & owner,
    # What is purged has no version left that could be looked at.
    Action.SEE_TOMBSTONE: deleted & (_seen | _supervised | (purged & in_order & _shown)),
}


def may(person: Person, action: Action, adapter: Adapter, *, version: Version | None = None) -> bool:
    """Whether ``person`` may do ``action`` with ``adapter``, at ``version`` where an earlier one is meant."""
    return RULES[action].holds(facts_of(person, adapter, version))


def rights(person: Person, adapter: Adapter) -> frozenset[Action]:
    """Everything that ``person`` may do with ``adapter``; for pages that ask several questions at once."""
    facts = facts_of(person, adapter)
    return frozenset(action for action, rule in RULES.items() if rule.holds(facts))


def allowed(person: Person, action: Action) -> Q:
    """``may`` as a condition on ``Adapter`` rows, at their current versions."""
    return RULES[action].where(person)


def require(
    person: Person, action: Action, adapter: Adapter, *, version: Version | None = None, label: str = ""
) -> None:
    """Raise the refusal in words unless ``person`` may do ``action``.

    What they may not see has no name in it but ``label``, the one that they know it by: where ``adapter`` was found by
    lineage, digest or number, and where it was renamed since, its present name would be news to them.
    """
    facts = facts_of(person, adapter, version)
    if RULES[action].holds(facts):
        return
    if not RULES[Action.VIEW].holds(facts):
        known = RULES[Action.SEE_TOMBSTONE].holds(facts)
        raise not_there(adapter.full_name if known else label)
    raise refusal(action, facts, adapter, version)


def may_view(person: Person, adapter: Adapter) -> bool:
    return may(person, Action.VIEW, adapter)


def may_download(person: Person, adapter: Adapter) -> bool:
    return may(person, Action.DOWNLOAD, adapter)


def may_use(person: Person, adapter: Adapter) -> bool:
    return may(person, Action.USE, adapter)


def may_edit(person: Person, adapter: Adapter) -> bool:
    return may(person, Action.EDIT, adapter)


def may_administer(person: Person, adapter: Adapter) -> bool:
    return may(person, Action.ADMINISTER, adapter)


def viewable(person: Person) -> Q:
    return allowed(person, Action.VIEW)


def downloadable(person: Person) -> Q:
    return allowed(person, Action.DOWNLOAD)


def may_relicense(adapter: Adapter) -> bool:
    """Its author states a licence; a merge carries what its parents' licences ask for, and keeps it."""
    return adapter.origin != Adapter.Origin.MERGE and not adapter.private_reason
