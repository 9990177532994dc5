"""Registering bases. Workers read a base's shapes; the marketplace never loads one."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from django.db import transaction

from inference_worker.contracts.bases import SHIPPED_BASES, BaseShapesRequest, base_source
from inference_worker.contracts.common import BaseFiles
from marketplace import policy
from marketplace.accounts.models import User
from marketplace.bases.models import Base, BaseAlias
from marketplace.core.errors import Conflict, Forbidden, Invalid
from marketplace.jobs import services as jobs
from marketplace.jobs.models import Job
from marketplace.moderation import audit

KIND = "base_shapes"
SHIPPED = SHIPPED_BASES
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?")
_MAX_NAME, _MAX_ALIAS = 160, 200


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
    ``served`` None leaves it as it is (a new one is served). A second call with the same arguments changes nothing, and
    what an admin has switched stays. Raises ``Invalid``, ``Conflict`` for an alias of another base.
    """
    if not policy.may_register_bases(actor):
        raise Forbidden("Only staff may register bases.")
    source = base_source(source.strip() or name)
    _check(name, source)
    with transaction.atomic():
        base, created = Base.objects.select_for_update().get_or_create(
            name=name,
            defaults={
                "source": source,
                "revision": revision,
                "license": license,
                "parent": parent,
                "served": served is not False,
            },
        )
        moved = (base.source, base.revision) != (source, revision)
        base.source, base.revision = source, revision
        changes = _change(base, license=license or None, parent=parent, served=served)
        if moved or base.state == Base.State.FAILED:
            base.state, base.fault = Base.State.PENDING, ""
        base.save()
        added = _add_aliases(base, aliases)
        if base.state == Base.State.PENDING and not _is_being_read(base):
            request_shapes(actor=actor, base=base)
        if created or moved or added or changes:
            said = {"source": source, "revision": revision, "aliases": added, "changes": changes}
            audit.record(actor=actor, action="base.register", target=name, **said)
    return base


def _change(base: Base, **wanted: Any) -> dict[str, list[str]]:
    """Set the fields that are not None; returns those that differ, each with its words before and after."""
    changes = {}
    for field, value in wanted.items():
        before = getattr(base, field)
        if value is not None and value != before:
            setattr(base, field, value)
            changes[field] = [str(before), str(value)]
    return changes


def _check(name: str, source: str) -> None:
    faults: dict[str, list[str]] = {}
    if not _NAME.fullmatch(name) or len(name) > _MAX_NAME:
        faults["name"] = ["Use letters, digits, dots, hyphens and underscores, with at most one slash."]
    if "\0" in source or len(source) > 500:
        faults["source"] = ["Give a hub repository's id or a directory."]
    elif source.startswith("/") and not (Path(source) / "config.json").is_file():
        faults["source"] = [f"There is no config.json in {source}."]
    if faults:
        words = " ".join(f"{field}: {' '.join(sentences)}" for field, sentences in faults.items())
        raise Invalid(words, extra={"fields": faults})


def _add_aliases(base: Base, aliases: Iterable[str]) -> list[str]:
    """The aliases that are new."""
    added = []
    for alias in dict.fromkeys(alias.strip().lower() for alias in aliases if alias.strip()):
        if len(alias) > _MAX_ALIAS:
            raise Invalid(f"The alias “{alias[:60]}…” is longer than {_MAX_ALIAS} characters.")
        known = BaseAlias.objects.select_related("base").filter(alias=alias).first()
        if known is None:
            BaseAlias.objects.create(alias=alias, base=base)
            added.append(alias)
        elif known.base_id != base.pk:
            raise Conflict(f"“{alias}” is already another name of {known.base.name}.")
    return added


def _is_being_read(base: Base) -> bool:
    return (
        Job.objects.filter(kind=KIND, subject__base=base.pk, subject__source=base.source)
        .exclude(state__in=Job.ENDED)
        .exists()
    )


def request_shapes(*, actor: User, base: Base) -> Job:
    """Ask a worker to read the base's config, shapes and tokenizer."""
    return jobs.create_job(
        owner=actor,
        kind=KIND,
        request=BaseShapesRequest(base=BaseFiles(name=base.name, source=base.source, revision=base.revision or None)),
        subject={"base": base.pk, "source": base.source},
        title=f"Shapes of {base.name}",
    )
