"""Reading saved compositions, always through what the asker may see and use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import QuerySet

from marketplace import policy
from marketplace.adapters import selectors as adapters
from marketplace.adapters.models import Adapter, Version
from marketplace.compositions.members import Choice, find_adapter
from marketplace.compositions.models import Composition, CompositionMember
from marketplace.core.errors import AppError, Conflict, NotFound

PREFIX = "mix/"


@dataclass(frozen=True)
class Standing:
    """One member of a mix as one person finds it. ``fault`` says why it cannot be used, empty when it can; ``adapter``
    is None where they may not know more of it than the name it had when it was saved."""

    member: CompositionMember
    adapter: Adapter | None
    version: Version | None
    fault: str = ""

    @property
    def name(self) -> str:
        return self.adapter.full_name if self.adapter else self.member.label

    @property
    def weight(self) -> float:
        return self.member.weight


def seen_mixes(user: policy.Person) -> QuerySet[Composition]:
    """Every mix whose page opens for ``user``."""
    return _with_people(Composition.objects.filter(policy.mixes_seen(user)))


def listed_mixes(user: policy.Person, *, owner: str = "", adapter: Adapter | None = None) -> QuerySet[Composition]:
    """What belongs into lists for ``user``, of one owner or with one member where wanted."""
    found = _with_people(Composition.objects.filter(policy.mixes_listed(user)))
    if owner:
        found = found.filter(owner__username__iexact=owner)
    if adapter is not None:
        found = found.filter(pk__in=CompositionMember.objects.filter(adapter=adapter).values("composition"))
    return found


def _with_people(found: QuerySet[Composition]) -> QuerySet[Composition]:
    return found.select_related("owner", "base").prefetch_related(
        "members__adapter__owner", "members__adapter__base", "members__adapter__current__artifact"
    )


def get_mix(*, user: policy.Person, owner: str, name: str) -> Composition:
    """Raises ``NotFound``, also for what is there and not ``user``'s to see."""
    found = seen_mixes(user).filter(owner__username__iexact=owner, name__iexact=name).first()
    if found is None:
        raise NotFound(f"There is no {PREFIX}{owner}/{name}, or it is not yours to see.")
    return found


def find_mix(*, user: policy.Person, full_name: str) -> Composition:
    """``mix/owner/name`` → the mix."""
    owner, _, name = full_name.removeprefix(PREFIX).partition("/")
    return get_mix(user=user, owner=owner, name=name)


def standing_of(*, user: policy.Person, mix: Composition) -> list[Standing]:
    """The members in order, each with what stands in its way for ``user``."""
    return [_standing(user, member) for member in mix.members.all()]


def _standing(user: policy.Person, member: CompositionMember) -> Standing:
    adapter = member.adapter
    if adapter is None:
        return Standing(member, None, None, f"{member.label} was deleted.")
    if adapter.deleted_at is not None:
        return Standing(member, None, None, f"{member.label} was deleted by its owner.")
    version = adapter.current
    if member.commit:
        version = adapter.versions.select_related("artifact").filter(commit=member.commit).first()
        if version is None:
            return Standing(member, None, None, f"The version {member.commit[:8]} of {member.label} is gone.")
    try:
        policy.require(user, policy.Action.USE, adapter, version=version if member.commit else None)
    except NotFound:
        # Not even the name that it has by now is theirs to know.
        return Standing(member, None, None, f"{member.label} is no longer yours to use.")
    except AppError as error:
        return Standing(member, adapter, version, error.message)
    return Standing(member, adapter, version)


def choices_of(*, user: policy.Person, mix: Composition, weight: float = 1.0) -> list[Choice]:
    """The members with their weights times ``weight``. Raises ``Conflict`` (``member_gone``) that names every member
    which ``user`` cannot use: a mix answers whole or not at all, since nothing is renormalised."""
    standing = standing_of(user=user, mix=mix)
    faults = [row for row in standing if row.fault]
    if faults:
        words = " ".join(row.fault for row in faults)
        own = " Edit the mix to leave it out." if policy.owns(user, mix) else ""
        raise Conflict(
            f"{mix.full_name} cannot answer. {words}{own}",
            code="member_gone",
            extra={"members": [row.name for row in faults]},
        )
    return [
        Choice(row.adapter, row.weight * weight, row.version if row.member.commit else None)
        for row in standing
        if row.adapter is not None
    ]


def find_members(*, user: policy.Person, named: Sequence[tuple[str, float]]) -> list[Choice]:
    """What a list of names with weights means: ``owner/name`` is an adapter, ``mix/owner/name`` all of a mix's members
    with their weights times the mix's own. Raises ``NotFound``, ``Invalid`` and ``Conflict`` (``member_gone``)."""
    found: list[Choice] = []
    for name, weight in named:
        if name.startswith(PREFIX):
            found += choices_of(user=user, mix=find_mix(user=user, full_name=name), weight=weight)
        else:
            found.append(Choice(find_adapter(user=user, full_name=name), weight))
    return found


def version_pinned(*, adapter: Adapter, revision: str) -> Version | None:
    """The version that a member's ``revision`` pins; None for an empty one, which follows the latest."""
    return adapters.get_version(adapter=adapter, revision=revision) if revision else None
