"""Conditions that hold for a person and an adapter, each in two forms that are written side by side.

``holds`` looks at the facts of one adapter at hand, ``where`` narrows rows in a query. Combining two rules combines
both forms, so a page and a list cannot come to disagree; a test compares them on every combination.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from django.db.models import Q

from marketplace.accounts.models import User
from marketplace.adapters.models import AccessRequest, Adapter, Artifact, Collaborator, Version
from marketplace.policy.people import Person, is_known
from marketplace.policy.site import may_moderate

_Visibility, _Moderation, _Role = Adapter.Visibility, Adapter.Moderation, Collaborator.Role
_NONE = Q(pk__in=[])
_ALL = ~Q(pk__in=[])


@dataclass(frozen=True)
class Facts:
    """Everything that the rules look at."""

    signed_in: bool = False
    owner: bool = False
    #: A ``Collaborator.Role``, or empty.
    role: str = ""
    #: The owner approved their request for a gated adapter.
    approved: bool = False
    moderator: bool = False
    visibility: str = _Visibility.PUBLIC
    moderation: str = _Moderation.VISIBLE
    #: The version in question passed its check.
    accepted: bool = True
    #: Every version was taken back by its owner. Who names a version means that one, yanked or not.
    yanked: bool = False
    deleted: bool = False
    purged: bool = False


def facts_of(person: Person, adapter: Adapter, version: Version | None = None) -> Facts:
    """The facts about ``person`` and ``adapter``, at ``version`` or at the current one."""
    known = isinstance(person, User) and is_known(person)
    owner = known and adapter.owner_id == person.pk
    role = approved = None
    if known and not owner:
        role = adapter.collaborators.filter(user=person.pk).values_list("role", flat=True).first()
        if role is None and adapter.visibility == _Visibility.GATED:
            approved = adapter.access_requests.filter(user=person.pk, state=AccessRequest.State.APPROVED).exists()
    yanked = version is None and adapter.current is not None and adapter.current.yanked_at is not None
    version = version or adapter.current
    return Facts(
        signed_in=known,
        owner=owner,
        role=role or "",
        approved=bool(approved),
        moderator=may_moderate(person),
        visibility=adapter.visibility,
        moderation=adapter.moderation,
        accepted=version is not None and version.artifact.state == Artifact.State.VALID,
        yanked=yanked,
        deleted=adapter.deleted_at is not None,
        purged=adapter.purged_at is not None,
    )


@dataclass(frozen=True)
class Rule:
    """A condition in its two forms."""

    holds: Callable[[Facts], bool]
    where: Callable[[Person], Q]

    def __and__(self, other: Rule) -> Rule:
        return Rule(
            lambda facts: self.holds(facts) and other.holds(facts),
            lambda person: _both(self.where(person), other.where(person)),
        )

    def __or__(self, other: Rule) -> Rule:
        return Rule(
            lambda facts: self.holds(facts) or other.holds(facts),
            lambda person: _either(self.where(person), other.where(person)),
        )

    def __invert__(self) -> Rule:
        return Rule(lambda facts: not self.holds(facts), lambda person: _opposite(self.where(person)))


def _both(left: Q, right: Q) -> Q:
    """``left & right``, without what is certain anyway: most people are nobody in particular, and short conditions are
    quicker to write, to plan and to run."""
    if left is _NONE or right is _ALL:
        return left
    if right is _NONE or left is _ALL:
        return right
    return left & right


def _either(left: Q, right: Q) -> Q:
    if left is _ALL or right is _NONE:
        return left
    if right is _ALL or left is _NONE:
        return right
    return left | right


def _opposite(condition: Q) -> Q:
    if condition is _ALL or condition is _NONE:
        return _when(condition is _NONE)
    return ~condition


def _when(certain: bool) -> Q:
    """A condition that every row meets, or none."""
    return _ALL if certain else _NONE


def _works_on(person: Person, *roles: str) -> Q:
    if not is_known(person):
        return _NONE
    return Q(pk__in=Collaborator.objects.filter(user=person.pk, role__in=roles).values("adapter"))


def _was_approved(person: Person) -> Q:
    if not is_known(person):
        return _NONE
    granted = AccessRequest.objects.filter(user=person.pk, state=AccessRequest.State.APPROVED)
    return Q(pk__in=granted.values("adapter"))


# Who asks.
signed_in = Rule(lambda facts: facts.signed_in, lambda person: _when(is_known(person)))
owner = Rule(lambda facts: facts.owner, lambda person: Q(owner_id=person.pk) if is_known(person) else _NONE)
writer = Rule(lambda facts: facts.role == _Role.WRITE, lambda person: _works_on(person, _Role.WRITE))
collaborator = Rule(lambda facts: bool(facts.role), lambda person: _works_on(person, *_Role.values))
approved = Rule(lambda facts: facts.approved, _was_approved)
moderator = Rule(lambda facts: facts.moderator, lambda person: _when(may_moderate(person)))

# What state the adapter is in.
public = Rule(lambda facts: facts.visibility == _Visibility.PUBLIC, lambda _: Q(visibility=_Visibility.PUBLIC))
gated = Rule(lambda facts: facts.visibility == _Visibility.GATED, lambda _: Q(visibility=_Visibility.GATED))
in_order = Rule(lambda facts: facts.moderation == _Moderation.VISIBLE, lambda _: Q(moderation=_Moderation.VISIBLE))
removed = Rule(lambda facts: facts.moderation == _Moderation.REMOVED, lambda _: Q(moderation=_Moderation.REMOVED))
accepted = Rule(lambda facts: facts.accepted, lambda _: Q(current__artifact__state=Artifact.State.VALID))
#: That the current version is yanked says that all are (``adapters.services.retiring.settle_current``).
offered = Rule(lambda facts: not facts.yanked, lambda _: Q(current__yanked_at=None))
deleted = Rule(lambda facts: facts.deleted, lambda _: Q(deleted_at__isnull=False))
purged = Rule(lambda facts: facts.purged, lambda _: Q(purged_at__isnull=False))
