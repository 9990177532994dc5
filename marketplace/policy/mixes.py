"""The rules about saved compositions: they are never more open than what is in them."""

from __future__ import annotations

from django.db.models import Q

from marketplace.adapters.models import Adapter
from marketplace.compositions.models import Composition, CompositionMember
from marketplace.policy.actions import Action
from marketplace.policy.adapters import allowed
from marketplace.policy.people import Person
from marketplace.policy.site import owned_by


def _published(person: Person, *needed: Action) -> Q:
    """Public ones of people who are staying, each of whose members ``person`` may treat in one of these ways."""
    known = Q(pk__in=[])
    for action in needed:
        known |= allowed(person, action)
    others = CompositionMember.objects.exclude(adapter__in=Adapter.objects.filter(known).values("pk"))
    public = Q(visibility=Composition.Visibility.PUBLIC, owner__closing_at=None, owner__erased_at=None)
    return public & ~Q(pk__in=others.values("composition"))


def mixes_seen(person: Person) -> Q:
    """Whose page opens: one's own, and public ones of which every member may be seen, or was before its deletion."""
    return owned_by(person) | _published(person, Action.VIEW, Action.SEE_TOMBSTONE)


def mixes_listed(person: Person) -> Q:
    """What stands in lists: one's own, and public ones of which every member may be used."""
    return owned_by(person) | _published(person, Action.USE)
