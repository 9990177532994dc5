"""Registering bases. Workers read a base's shapes; the marketplace never loads one."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from django.db import transaction

from inference_worker.contracts.bases import SHIPPED_BASES, base_source
from marketplace import policy
from marketplace.accounts.models import User
from marketplace.bases.aliases import attach_aliases, attach_shipped
from marketplace.bases.models import Base, BaseAlias, BaseChoice
from marketplace.bases.requests import KIND, LINK, ask_for_linking, latest_read, request_shapes, running_read
from marketplace.bases.shipped import known_bases
from marketplace.core.errors import Conflict, Forbidden, Invalid
from marketplace.jobs.models import Job
from marketplace.moderation import audit

__all__ = [
    "KIND",
    "LINK",
    "ask_for_linking",
    "change_base",
    "delete_base",
    "latest_read",
    "register_base",
    "request_shapes",
    "reread_base",
    "running_read",
]

SHIPPED = SHIPPED_BASES
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?")
#: Words that stand before or behind a base's name in addresses.
RESERVED = frozenset({"register", "answer", "aliases", "reading", "change", "delete"})
_REVISION = re.compile(r"[A-Za-z0-9._/-]{0,100}")
_MAX_NAME, _MAX_LICENSE = 160, 40


def register_base(
    *,
    actor: User,
    name: str,
    source: str = "",
    revision: str = "",
    license: str = "",
    aliases: Iterable[str] = (),
    parent: Base | None = None,
    served: bool | None = None,
) -> Base:
    """Make a base known, or bring a known one up to date; a job reads its shapes.

    ``source`` is a hub repository's id or a directory that every worker sees; empty means ``base_source(name)``;
    ``served`` None leaves it as it is (a new one is served). A well-known base that was trained further from another
    gets that one as its parent. A second call with the same arguments changes nothing, and what an admin has switched
    stays. Raises ``Invalid``, ``Conflict`` for an alias of another base.
    """
    _staff(actor)
    source = base_source(source.strip() or name)
    _check(name, source, revision, license)
    with transaction.atomic():
        base, created = Base.objects.select_for_update().get_or_create(
            name=name,
            defaults={
                "source": source,
                "revision": revision,
                "license": license,
                "parent": parent or _known_parent(name, source),
                "served": served is not False,
            },
        )
        moved = (base.source, base.revision) != (source, revision)
        base.source, base.revision = source, revision
        changes = _change(base, license=license or None, parent=parent, served=served)
        if moved or base.state == Base.State.FAILED:
            base.state, base.fault = Base.State.PENDING, ""
        base.save()
        added = attach_aliases(base, aliases)
        if created or moved:
            attach_shipped(base)
        if created:
            _adopt_children(base)
        if added:
            ask_for_linking(base)
        if base.state == Base.State.PENDING and running_read(base) is None:
            request_shapes(actor=actor, base=base)
        if created or moved or added or changes:
            said = {"source": source, "revision": revision, "aliases": added, "changes": changes}
            audit.record(actor=actor, action="base.register", target=name, **said)
    return base


def change_base(
    *,
    actor: User,
    base: Base,
    license: str | None = None,
    parent: Base | None = None,
    served: bool | None = None,
    orphan: bool = False,
) -> Base:
    """Change what staff says of a base; None leaves a field as it is, ``orphan`` takes the parent away."""
    _staff(actor)
    with transaction.atomic():
        row = Base.objects.select_for_update(of=("self",)).select_related("parent").get(pk=base.pk)
        if license is not None and len(license) > _MAX_LICENSE:
            sentence = f"At most {_MAX_LICENSE} characters."
            raise Invalid(f"license: {sentence}", extra={"fields": {"license": [sentence]}})
        changes = _change(row, license=license, parent=parent, served=served)
        if orphan and parent is None and row.parent is not None:
            changes["parent"] = [row.parent.name, ""]
            row.parent = None
        if changes:
            row.save(update_fields=["license", "parent", "served"])
            audit.record(actor=actor, action="base.change", target=row.name, changes=changes)
    return row


def reread_base(*, actor: User, base: Base) -> Job:
    """Have a worker read the base once more: after it could not be read, or when its files have changed.

    One that is ready stays so meanwhile. Raises ``Conflict`` while it is being read.
    """
    _staff(actor)
    with transaction.atomic():
        row = Base.objects.select_for_update(of=("self",)).get(pk=base.pk)
        if running_read(row) is not None:
            raise Conflict(f"{row.name} is being read already.", code="being_read")
        if row.state == Base.State.FAILED:
            row.state, row.fault = Base.State.PENDING, ""
            row.save(update_fields=["state", "fault"])
        audit.record(actor=actor, action="base.reread", target=row.name)
        return request_shapes(actor=actor, base=row)


def delete_base(*, actor: User, base: Base) -> None:
    """Take a base off the site that nothing refers to. Raises ``Conflict`` in words when something does."""
    _staff(actor)
    with transaction.atomic():
        row = Base.objects.select_for_update(of=("self",)).get(pk=base.pk)
        adapters, children = row.adapters.count(), list(row.children.values_list("name", flat=True)[:3])
        if adapters or row.artifacts.exists():
            words = f"{row.name} has {adapters} adapter{'' if adapters == 1 else 's'}, or stored files of some. "
            raise Conflict(words + "Set it to “not served” instead.", code="base_in_use")
        if children:
            raise Conflict(f"{row.name} is the parent of {', '.join(children)}. Change that first.", code="base_in_use")
        BaseChoice.objects.filter(base=row).delete()
        BaseAlias.objects.filter(base=row, shipped=False).delete()
        audit.record(actor=actor, action="base.delete", target=row.name, source=row.source)
        row.delete()


def _change(base: Base, **wanted: Any) -> dict[str, list[str]]:
    """Set the fields that are not None; returns those that differ, each with its words before and after."""
    changes = {}
    for field, value in wanted.items():
        before = getattr(base, field)
        if value is not None and value != before:
            if field == "parent":
                _refuse_circle(base, value)
            setattr(base, field, value)
            changes[field] = [str(before), str(value)]
    return changes


def _refuse_circle(base: Base, parent: Base) -> None:
    ancestor: Base | None = parent
    for _ in range(50):
        if ancestor is None:
            return
        if ancestor.pk == base.pk:
            break
        ancestor = ancestor.parent
    sentence = f"{base.name} cannot descend from {parent.name}, which descends from it."
    raise Invalid(sentence, extra={"fields": {"parent": [sentence]}})


def _known_parent(name: str, source: str) -> Base | None:
    """The registered base that a well-known one was trained further from."""
    for text in (name, source):
        known = known_bases().get(text.lower())
        if known is not None and known.parent:
            return Base.objects.filter(name__iexact=known.parent).first()
    return None


def _adopt_children(base: Base) -> None:
    """Well-known bases that were registered before their parent."""
    names = [known.name.lower() for known in known_bases().values() if known.parent.lower() == base.name.lower()]
    for child in Base.objects.filter(parent=None).exclude(pk=base.pk):
        if child.name.lower() in names:
            Base.objects.filter(pk=child.pk, parent=None).update(parent=base)


def _check(name: str, source: str, revision: str, license: str) -> None:
    faults: dict[str, list[str]] = {}
    if not _NAME.fullmatch(name) or len(name) > _MAX_NAME:
        faults["name"] = ["Use letters, digits, dots, hyphens and underscores, with at most one slash."]
    elif RESERVED & set(name.lower().split("/")):
        faults["name"] = ["This word stands for something else in the site's addresses."]
    if "\0" in source or len(source) > 500:
        faults["source"] = ["Give a hub repository's id or a directory."]
    elif source.startswith("/") and not (Path(source) / "config.json").is_file():
        faults["source"] = [f"There is no config.json in {source}."]
    elif source not in (name, "") and not source.startswith("/") and not _NAME.fullmatch(source):
        faults["source"] = ["Give a hub repository's id, such as owner/name, or a directory's whole path."]
    if not _REVISION.fullmatch(revision) or ".." in revision:
        faults["revision"] = ["Give a branch, a tag or a commit."]
    if len(license) > _MAX_LICENSE:
        faults["license"] = [f"At most {_MAX_LICENSE} characters."]
    if faults:
        words = " ".join(f"{field}: {' '.join(sentences)}" for field, sentences in faults.items())
        raise Invalid(words, extra={"fields": faults})


def _staff(actor: User) -> None:
    if not policy.may_register_bases(actor):
        raise Forbidden("Only staff may register bases.")
