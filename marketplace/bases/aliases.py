"""The alias table: other names for bases, added and taken away by staff."""

from __future__ import annotations

from collections.abc import Iterable

from django.db import transaction

from marketplace import policy
from marketplace.accounts.models import User
from marketplace.bases.models import Base, BaseAlias
from marketplace.bases.requests import ask_for_linking
from marketplace.core.errors import Conflict, Forbidden, Invalid, NotFound
from marketplace.moderation import audit

MAX_ALIAS = 200


def add_alias(*, actor: User, base: Base, alias: str) -> BaseAlias:
    """Another name for ``base``; adapters that wait under it are linked. Raises ``Invalid`` and ``Conflict``."""
    _staff(actor)
    with transaction.atomic():
        locked = Base.objects.select_for_update(of=("self",)).get(pk=base.pk)
        if not alias.strip():
            sentence = "Write the name that configs use."
            raise Invalid(sentence, extra={"fields": {"alias": [sentence]}})
        added = attach_aliases(locked, [alias])
        if added:
            audit.record(actor=actor, action="base.add_alias", target=base.name, alias=added[0])
            ask_for_linking(locked)
    return BaseAlias.objects.select_related("base").get(alias=_plain(alias))


def remove_alias(*, actor: User, base: Base, alias: str) -> None:
    """Configs that use this name no longer mean ``base``. Adapters that were linked by it stay as they are.

    A name that came with Brickyard is switched off instead, so that no update brings it back. Raises ``NotFound``.
    """
    _staff(actor)
    with transaction.atomic():
        row = BaseAlias.objects.select_for_update().filter(base=base.pk, alias=_plain(alias), active=True).first()
        if row is None:
            raise NotFound(f"{base.name} has no other name “{alias[:100]}”.")
        if row.shipped:
            row.active = False
            row.save(update_fields=["active"])
        else:
            row.delete()
        audit.record(actor=actor, action="base.remove_alias", target=base.name, alias=row.alias)


def attach_aliases(base: Base, aliases: Iterable[str]) -> list[str]:
    """The aliases that are new to the base. Call inside a transaction."""
    return [name for name in dict.fromkeys(_plain(alias) for alias in aliases) if name and _attach(base, name)]


def _attach(base: Base, name: str) -> bool:
    if len(name) > MAX_ALIAS or not name.isprintable():
        raise _invalid(f"The alias “{name[:60]}…” is longer than {MAX_ALIAS} characters, or has unprintable ones.")
    other = Base.objects.exclude(pk=base.pk).filter(name__iexact=name).first()
    if other is not None:
        raise Conflict(f"“{name}” is itself a base here: {other.name}.")
    row = BaseAlias.objects.select_for_update(of=("self",)).select_related("base").filter(alias=name).first()
    if row is None:
        BaseAlias.objects.create(alias=name, base=base, canonical=base.name)
        return True
    if row.base_id not in (None, base.pk):
        assert row.base is not None
        raise Conflict(f"“{name}” is already another name of {row.base.name}.")
    if row.base_id == base.pk and row.active:
        return False
    row.base, row.canonical, row.active = base, base.name, True
    row.save(update_fields=["base", "canonical", "active"])
    return True


def attach_shipped(base: Base) -> int:
    """Names that came with Brickyard and waited for this base; returns how many."""
    names = {base.name.lower(), base.source.lower()}
    waiting = [row.pk for row in BaseAlias.objects.filter(base=None, shipped=True) if row.canonical.lower() in names]
    return BaseAlias.objects.filter(pk__in=waiting, base=None).update(base=base)


def _plain(alias: str) -> str:
    return alias.strip().lower()


def _invalid(sentence: str) -> Invalid:
    return Invalid(sentence, extra={"fields": {"alias": [sentence]}})


def _staff(actor: User) -> None:
    if not policy.may_register_bases(actor):
        raise Forbidden("Only staff may change the names of bases.")
