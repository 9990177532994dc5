"""Names of adapters: each is one adapter's address, now, formerly or deleted, and is never given out twice."""

from __future__ import annotations

from marketplace.accounts.models import User
from marketplace.adapters.models import Adapter, FormerName
from marketplace.core.errors import Conflict


def lock_names(*owners: User) -> None:
    """Hold off everybody else who gives out or takes names of these owners, until the transaction ends.

    Current and former names live in two tables, so no constraint alone can keep them apart. Locked by primary key, and
    before any adapter's row, so that two transactions never wait for each other.
    """
    ids = sorted({owner.pk for owner in owners})
    list(User.objects.select_for_update(no_key=True).filter(pk__in=ids).order_by("pk").values_list("pk", flat=True))


def check_name_free(owner: User, name: str, *, adapter: Adapter | None = None) -> None:
    """Raise ``Conflict`` in words when ``owner/name`` is, or was, another adapter than ``adapter``'s address. Call with
    the names locked."""
    words = taken_because(owner, name, adapter=adapter)
    if words:
        raise Conflict(words, code="name_taken", extra={"fields": {"name": [words]}})


def taken_because(owner: User, name: str, *, adapter: Adapter | None = None) -> str:
    """Why ``owner/name`` cannot be given out, for its owner; empty when it can."""
    key = adapter.pk if adapter is not None else 0
    taken = Adapter.objects.filter(owner=owner, name__iexact=name).exclude(pk=key).first()
    if taken is not None and taken.deleted_at is not None:
        return f"You deleted an adapter named {taken.name}, and names are not used twice. Choose another name."
    if taken is not None:
        return f"You already have an adapter named {taken.name}. Choose another name, or add a version to it."
    former = FormerName.objects.filter(owner=owner, name__iexact=name).exclude(adapter=key).first()
    if former is not None:
        return f"{owner.username}/{former.name} leads to an adapter that had this name before. Choose another name."
    return ""


def taken_names(owner: User) -> set[str]:
    """Every name that ``owner`` cannot give out, in lower case."""
    current = Adapter.objects.filter(owner=owner).values_list("name", flat=True)
    former = FormerName.objects.filter(owner=owner).values_list("name", flat=True)
    return {name.lower() for name in current.union(former)}


def keep_former_name(adapter: Adapter, owner: User, name: str) -> None:
    """Remember ``owner/name`` as the adapter's, and forget the address that it has now: it may have had it before."""
    FormerName.objects.filter(adapter=adapter, owner=adapter.owner, name__iexact=adapter.name).delete()
    if owner.pk != adapter.owner_id or name.lower() != adapter.name.lower():
        FormerName.objects.create(adapter=adapter, owner=owner, name=name)
