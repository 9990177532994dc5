"""Adapters that a job made: their files lie in the blob store already."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction

from inference_worker.blobs import BlobInfo
from inference_worker.contracts.common import OutputFile, PromptFormat
from marketplace.accounts.models import User
from marketplace.adapters import cards
from marketplace.adapters.fields import MAX_DESCRIPTION, Checker
from marketplace.adapters.models import Adapter, Artifact, Blob, Version
from marketplace.adapters.services import artifacts
from marketplace.adapters.services.card_files import card_fields, write_card
from marketplace.adapters.services.parent_names import (
    UNNAMED,
    files_without_names,
    hidden_names,
    is_open,
    without_names,
)
from marketplace.adapters.services.publishing import check_owner_quota, insert_adapter
from marketplace.adapters.services.stated import Fields, check_fields
from marketplace.adapters.services.versions import create_version, embed_when_valid
from marketplace.adapters.uploads.selection import CARD, CONFIG, MAX_CONFIG, WEIGHTS
from marketplace.bases import selectors as bases
from marketplace.bases.models import Base
from marketplace.core.errors import Invalid
from marketplace.core.store import blob_store
from marketplace.moderation import audit


def create_adapter_from_files(
    *,
    owner: User,
    name: str,
    origin: str,
    files: Sequence[OutputFile],
    title: str = "",
    description: str = "",
    license: str = "",
    tags: Sequence[str] = (),
    recipe: Mapping[str, Any],
    lineage: Sequence[tuple[Version, float]],
    operation: str,
    prompt_format: PromptFormat | Mapping[str, Any] | None = None,
    private_reason: str = "",
) -> Adapter:
    """A new private adapter from a job's output, with its recipe, its parents and a generated card.

    ``private_reason`` (a licence's) keeps it private for good. The weights are checked like an upload's. Raises
    ``Conflict`` for a taken name, ``Invalid`` and ``QuotaExceeded``.
    """
    checker = Checker()
    name = checker.name(name)
    fields = check_fields(
        checker,
        title=title,
        description=description[:MAX_DESCRIPTION],
        license=license,
        tags=tags,
        prompt_format=prompt_format,
        examples=[],
    )
    checker.finish()
    infos = _infos(files_without_names(files, hidden_names([parent for parent, _ in lineage], recipe)))
    with transaction.atomic():
        check_owner_quota(owner, infos.values())
        rows = artifacts.keep_blobs(infos.values())
        artifact, _ = artifacts.get_artifact(config=rows[infos[CONFIG].sha256], weights=rows[infos[WEIGHTS].sha256])
        adapter = _insert(
            fields,
            artifact,
            infos[CONFIG],
            lineage,
            owner=owner,
            name=name,
            origin=origin,
            private_reason=private_reason,
        )
        blobs = {path: rows[info.sha256] for path, info in infos.items()}
        _commit(adapter, artifact, blobs, _Origin(operation, recipe, lineage), fields.prompt_format)
        if artifacts.needs_check(artifact):
            artifacts.request_inspection(owner=owner, artifact=artifact, label=adapter.full_name)
        embed_when_valid(adapter)
    return adapter


def _insert(
    fields: Fields, artifact: Artifact, config: BlobInfo, lineage: Sequence[tuple[Version, float]], **columns: Any
) -> Adapter:
    """The adapter's row, private."""
    base_name = _base_name(config.sha256)
    named = artifact.base or bases.resolve_base(base_name)
    return insert_adapter(
        Adapter(
            title=fields.title,
            description=fields.description,
            license=fields.license,
            tags=fields.tags,
            base=named or _parents_base(lineage),
            base_name=base_name,
            **columns,
        )
    )


def _parents_base(lineage: Sequence[tuple[Version, float]]) -> Base | None:
    """The base that all parents have: their owners may have answered what no config says."""
    found = {version.adapter.base for version, _ in lineage}
    return found.pop() if len(found) == 1 else None


@dataclass(frozen=True)
class _Origin:
    """How the files were made, and of what with which weights."""

    operation: str
    recipe: Mapping[str, Any]
    lineage: Sequence[tuple[Version, float]]

    @property
    def parents(self) -> list[tuple[str, float]]:
        """As the card and the history name them."""
        named = [(is_open(parent.adapter), parent.adapter.full_name, weight) for parent, weight in self.lineage]
        return [(name if shown else UNNAMED, weight) for shown, name, weight in named]

    @property
    def shown_recipe(self) -> dict[str, Any]:
        hidden = hidden_names([parent for parent, _ in self.lineage], self.recipe)
        found: dict[str, Any] = without_names(self.recipe, hidden)
        return found

    @property
    def task_type(self) -> str:
        """The parents' task: adapters of different tasks are not merged."""
        return next((str(parent.artifact.summary.get("task_type", "")) for parent, _ in self.lineage), "")


def _commit(
    adapter: Adapter, artifact: Artifact, blobs: Mapping[str, Blob], origin: _Origin, prompt_format: PromptFormat
) -> None:
    """The first version with its generated card, and the audit entry."""
    names = [parent for parent, _ in origin.parents]
    made = cards.Origin(origin.operation, origin.parents, origin.shown_recipe)
    fields = card_fields(adapter, prompt_format, task_type=origin.task_type)
    card = write_card(adapter, fields, origin=made)
    create_version(
        author=adapter.owner,
        adapter=adapter,
        artifact=artifact,
        files={**blobs, CARD: card},
        message=f"Made by {origin.operation} from {', '.join(names)}",
        prompt_format=prompt_format,
        recipe=origin.recipe,
        parents=origin.lineage,
        operation=origin.operation,
    )
    audit.record(
        actor=adapter.owner,
        action="adapter.create",
        target=adapter.full_name,
        origin=adapter.origin,
        operation=origin.operation,
        parents=[parent.adapter.full_name for parent, _ in origin.lineage],
    )


def _infos(files: Sequence[OutputFile]) -> dict[str, BlobInfo]:
    infos = {file.path: BlobInfo(file.sha256, file.git_sha1, file.size) for file in files}
    if CONFIG not in infos or WEIGHTS not in infos:
        raise Invalid(f"The job wrote no {CONFIG} or no {WEIGHTS}; it wrote {', '.join(sorted(infos)) or 'nothing'}.")
    return infos


def _base_name(config: str) -> str:
    """The base that the written config names."""
    with blob_store().open(config) as file:
        name = json.loads(file.read(MAX_CONFIG)).get("base_model_name_or_path")
    return str(name)[:300] if name else ""
