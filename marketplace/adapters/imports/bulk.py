"""Many adapters one after the other; what fails keeps nobody else from being imported."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from marketplace.accounts.models import User
from marketplace.adapters.fields import Checker
from marketplace.adapters.imports.finding import Item
from marketplace.adapters.imports.folders import META, import_adapter, read_meta
from marketplace.adapters.imports.services import KIND, Publication, start_import
from marketplace.adapters.imports.sources import parse_source, shown
from marketplace.adapters.models import Adapter
from marketplace.adapters.uploads.selection import CONFIG, WEIGHTS
from marketplace.core.errors import AppError, Invalid
from marketplace.jobs.models import Job

#: What may come of an item.
PUBLISHED, QUEUED, PLANNED, SKIPPED, FAILED = "published", "queued", "would be imported", "skipped", "failed"


@dataclass(frozen=True)
class Outcome:
    """What came of one item; ``words`` say where it is or why not."""

    item: Item
    state: str
    words: str


@dataclass(frozen=True)
class Wishes:
    """What the command was told about all items. ``fields`` win over what a list or a meta.json says."""

    owner: str = ""
    fields: Mapping[str, Any] | None = None
    visibility: str = Adapter.Visibility.PRIVATE
    dry_run: bool = False
    skip_known: bool = False


def import_item(item: Item, wishes: Wishes) -> Outcome:
    """Import one item, or say what would be done. Faults of the item are in the outcome, never raised."""
    try:
        meta = _meta_of(item)
        owner = _owner(wishes.owner or item.owner or str(meta.get("owner", "")))
        said = {**meta, **item.fields, **(wishes.fields or {})}
        # The command's --name, then the list's, then what lies beside the files.
        name = str(item.fields.get("name") or meta.get("name") or item.name)
        fields = {**said, "visibility": said.get("visibility") or wishes.visibility}
        if wishes.skip_known and (known := _known(owner, name, item)):
            return Outcome(item, SKIPPED, known)
        if wishes.dry_run:
            return _planned(item, owner, name)
        return _import(item, owner, name, fields)
    except AppError as error:
        return Outcome(item, FAILED, error.message)
    except OSError as error:
        return Outcome(item, FAILED, f"{error.filename or item.shown} cannot be read: {error.strerror or error}.")


def _import(item: Item, owner: User, name: str, fields: Mapping[str, Any]) -> Outcome:
    if item.source:
        chosen = {key: value for key, value in fields.items() if key not in ("name", "owner")}
        job = start_import(user=owner, source=item.source, publication=Publication(name, chosen))
        return Outcome(item, QUEUED, f"{owner.username}/{name}, job {job.pk}")
    assert item.place is not None
    adapter = import_adapter(owner=owner, source=item.place, name=name, fields=fields)
    return Outcome(item, PUBLISHED, f"{adapter.full_name} is published ({adapter.visibility}); its check is queued.")


def _planned(item: Item, owner: User, name: str) -> Outcome:
    """What would be done; faults that can be seen without storing anything are raised."""
    checker = Checker()
    checker.name(name)
    checker.finish()
    if Adapter.objects.filter(owner=owner, name__iexact=name).exists():
        raise Invalid(f"{owner.username} has an adapter named {name} already.")
    if item.place is not None:
        if not item.place.exists():
            raise Invalid(f"There is no directory or zip {item.place}.")
        if item.place.is_dir() and not (item.place / CONFIG).is_file():
            raise Invalid(f"There is no {CONFIG} in {item.place}.")
    return Outcome(item, PLANNED, f"{owner.username}/{name}")


def _known(owner: User, name: str, item: Item) -> str:
    """Why the item is there already: by its name, by its weights, or by an import under way."""
    adapters = Adapter.objects.filter(owner=owner, deleted_at=None)
    if adapters.filter(name__iexact=name).exists():
        return f"{owner.username}/{name} is there already."
    if item.source:
        source = shown(parse_source(item.source))
        jobs = Job.objects.filter(owner=owner, kind=KIND, subject__source=source)
        return f"{source} is being imported already." if jobs.exclude(state__in=Job.ENDED).exists() else ""
    digest = _weights_digest(item.place)
    same = adapters.filter(current__artifact__weights_blob=digest).first() if digest else None
    return f"{same.full_name} has these weights already." if same is not None else ""


def _weights_digest(place: Path | None) -> str:
    """sha256 of a folder's weights; empty for zips, which are known by their name alone."""
    weights = place / WEIGHTS if place is not None else None
    if weights is None or not weights.is_file():
        return ""
    with weights.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _meta_of(item: Item) -> dict[str, Any]:
    return read_meta(item.place / META) if item.place is not None and (item.place / META).is_file() else {}


def _owner(username: str) -> User:
    owner = User.objects.filter(username__iexact=username).first()
    if owner is None:
        raise Invalid(f"There is no user “{username}”. Name one with --owner.")
    return owner
