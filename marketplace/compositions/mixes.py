"""Saving, changing and deleting compositions."""

from __future__ import annotations

import math
from collections.abc import Sequence

from django.db import IntegrityError, transaction
from django.utils import timezone

from marketplace import policy
from marketplace.accounts.models import User
from marketplace.adapters.fields import Checker
from marketplace.bases.models import Base
from marketplace.compositions.answering import common_base
from marketplace.compositions.members import Choice, check_generating, resolve_members
from marketplace.compositions.models import Composition, CompositionMember
from marketplace.core.errors import Conflict, Forbidden, Invalid, NotAuthenticated
from marketplace.moderation import audit

#: As many adapters as answer together.
MAX_MEMBERS = 8
#: Weights beyond this are slips of the hand.
MAX_WEIGHT = 100.0
#: Mixes of one person.
MAX_MIXES = 1000
MAX_DESCRIPTION = 2000


def _invalid(field: str, sentence: str) -> Invalid:
    return Invalid(sentence, extra={"fields": {field: [sentence]}})


def create_mix(
    *,
    user: User,
    name: str,
    members: Sequence[Choice],
    visibility: str = Composition.Visibility.PRIVATE,
    description: str = "",
) -> Composition:
    """Save a composition as ``mix/user/name``.

    Raises ``Invalid`` (name, weights, members of several bases or that write no text), ``Conflict`` (the name is
    taken) and what ``resolve_members`` raises.
    """
    if not policy.is_known(user):
        raise NotAuthenticated("Sign in to save a mix.")
    name, description = _checked_text(name, visibility, description)
    base = _checked_members(user, members)
    mix = Composition(owner=user, name=name, visibility=visibility, base=base, description=description)
    try:
        with transaction.atomic():
            # Locked, so that mixes saved at once are counted one after the other.
            User.objects.select_for_update(no_key=True).get(pk=user.pk)
            if Composition.objects.filter(owner=user).count() >= MAX_MIXES:
                raise Conflict(f"You have {MAX_MIXES:,} mixes. Delete one first.", code="too_many_mixes")
            return write_mix(mix, members)
    except IntegrityError as error:
        sentence = f"You have a mix named {name} already."
        raise Conflict(sentence, code="name_taken", extra={"fields": {"name": [sentence]}}) from error


def write_mix(mix: Composition, members: Sequence[Choice]) -> Composition:
    """Save a new mix without asking whether its members can be used: those of an empty site are still being checked
    while it is filled. Raises ``IntegrityError`` for a name that is taken."""
    with transaction.atomic():
        mix.save()
        _write_members(mix, members)
        audit.record(actor=mix.owner, action="mix.create", target=mix.full_name, **_told(mix, members))
    return mix


def edit_mix(
    *,
    user: User,
    mix: Composition,
    members: Sequence[Choice] | None = None,
    visibility: str | None = None,
    description: str | None = None,
) -> Composition:
    """Change what is given; the name stays, because programs ask by it. Raises ``Forbidden`` for all but the owner, and
    what ``create_mix`` raises."""
    check_own(user, mix)
    with transaction.atomic():
        row = Composition.objects.select_for_update(of=("self",)).select_related("owner", "base").get(pk=mix.pk)
        row.visibility = row.visibility if visibility is None else visibility
        row.description = row.description if description is None else description
        _, row.description = _checked_text(row.name, row.visibility, row.description)
        if members is not None:
            row.base = _checked_members(user, members)
            row.members.all().delete()
            _write_members(row, members)
        row.updated_at = timezone.now()
        row.save(update_fields=["visibility", "description", "base", "updated_at"])
        audit.record(actor=user, action="mix.edit", target=row.full_name, **_told(row, members))
    return row


def delete_mix(*, user: User, mix: Composition) -> None:
    """Its adapters stay; the name is free again. Raises ``Forbidden`` for all but the owner."""
    check_own(user, mix)
    with transaction.atomic():
        audit.record(actor=user, action="mix.delete", target=mix.full_name)
        mix.delete()


def check_own(user: User, mix: Composition) -> None:
    if not policy.is_known(user):
        raise NotAuthenticated("Sign in to change a mix.")
    if not policy.owns(user, mix):
        raise Forbidden(f"Only {mix.owner.username} may change {mix.full_name}.")


def _checked_text(name: str, visibility: str, description: str) -> tuple[str, str]:
    checker = Checker()
    name = checker.name(name)
    description = checker.text("description", description, MAX_DESCRIPTION)
    if visibility not in Composition.Visibility.values:
        checker.fault("visibility", f"A mix is {' or '.join(Composition.Visibility.values)}.")
    checker.finish()
    return name, description


def _checked_members(user: User, members: Sequence[Choice]) -> Base | None:
    """The base of members that can answer together."""
    if not 1 <= len(members) <= MAX_MEMBERS:
        raise _invalid("members", f"A mix has 1 to {MAX_MEMBERS} members; this has {len(members)}.")
    seen = set()
    for adapter, weight, version in members:
        if not math.isfinite(weight) or abs(weight) > MAX_WEIGHT or weight == 0:
            raise _invalid(
                "members",
                f"The weight of {adapter.full_name} is {weight:g}. Give a number from {-MAX_WEIGHT:g} to "
                f"{MAX_WEIGHT:g} that is not 0.",
            )
        if (adapter.pk, version) in seen:
            raise _invalid("members", f"{adapter.full_name} is in it twice. Add the weights up instead.")
        seen.add((adapter.pk, version))
    resolved = resolve_members(user=user, members=members)
    check_generating(resolved)
    return common_base(resolved)


def _write_members(mix: Composition, members: Sequence[Choice]) -> None:
    CompositionMember.objects.bulk_create(
        CompositionMember(
            composition=mix,
            position=position,
            adapter=adapter,
            label=adapter.full_name,
            commit=version.commit if version else "",
            weight=weight,
        )
        for position, (adapter, weight, version) in enumerate(members)
    )


def _told(mix: Composition, members: Sequence[Choice] | None) -> dict[str, object]:
    """For the audit log: what it is from now on."""
    told: dict[str, object] = {"visibility": mix.visibility}
    if members is not None:
        told["members"] = [[adapter.full_name, weight, bool(pinned)] for adapter, weight, pinned in members]
    return told
