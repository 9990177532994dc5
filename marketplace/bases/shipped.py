"""The alias table that comes with Brickyard: well-known bases, their re-uploads and former names."""

from __future__ import annotations

import functools
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.apps import AppConfig, apps

_FILE = Path(__file__).with_name("shipped_aliases.toml")


@dataclass(frozen=True)
class KnownBase:
    """``parent`` is the base that it was trained further from, empty when that one is not known."""

    name: str
    parent: str
    aliases: tuple[str, ...]


@functools.cache
def known_bases() -> dict[str, KnownBase]:
    """By name in lower case."""
    with _FILE.open("rb") as file:
        table = tomllib.load(file)
    return {
        name.lower(): KnownBase(name, entry.get("parent", ""), tuple(entry.get("aliases", ())))
        for name, entry in table.items()
    }


@functools.cache
def last_parts() -> dict[str, str]:
    """Last part of a name in lower case → the one base, or the alias's base, that ends so."""
    found: dict[str, set[str]] = {}
    for known in known_bases().values():
        for name in (known.name, *known.aliases):
            found.setdefault(name.rpartition("/")[2].lower(), set()).add(known.name)
    return {last: next(iter(names)) for last, names in found.items() if len(names) == 1}


def ship_aliases(sender: AppConfig, using: str = "default", **_: Any) -> None:
    """Bring the table into the database after every migration: new names are added, no row is changed.

    A name that an admin gave to another base, or switched off, stays as it is.
    """
    model = apps.get_model("bases", "BaseAlias")
    rows = [
        model(alias=alias.lower(), canonical=known.name, shipped=True)
        for known in known_bases().values()
        for alias in known.aliases
    ]
    model.objects.using(using).bulk_create(rows, ignore_conflicts=True)
    link_shipped(using=using)


def link_shipped(*, using: str = "default") -> None:
    """Point shipped names at the bases that are registered by now."""
    base_model = apps.get_model("bases", "Base")
    alias_model = apps.get_model("bases", "BaseAlias")
    for base in base_model.objects.using(using).only("pk", "name", "source"):
        waiting = alias_model.objects.using(using).filter(base=None, canonical__iexact=base.name)
        waiting.update(base=base)
