"""Adapters that a job made: their files lie in the blob store already."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from django.db import transaction

from inference_worker.blobs import BlobInfo
from inference_worker.contracts.common import OutputFile, PromptFormat
from marketplace.accounts.models import User
from marketplace.adapters import cards
from marketplace.adapters.fields import MAX_DESCRIPTION, Checker
from marketplace.adapters.models import Adapter, Version
from marketplace.adapters.services import artifacts
from marketplace.adapters.services.card_files import write_card
from marketplace.adapters.services.publishing import check_fields, check_owner_quota, insert_adapter
from marketplace.adapters.services.versions import create_version, embed_when_valid
from marketplace.adapters.uploads.selection import CARD, CONFIG, MAX_CONFIG, WEIGHTS
from marketplace.bases import selectors as bases
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
    infos = {file.path: BlobInfo(file.sha256, file.git_sha1, file.size) for file in files}
    if CONFIG not in infos or WEIGHTS not in infos:
        raise Invalid(f"The job wrote no {CONFIG} or no {WEIGHTS}; it wrote {', '.join(sorted(infos)) or 'nothing'}.")
    with transaction.atomic():
        check_owner_quota(owner, infos.values())
        rows = artifacts.keep_blobs(infos.values())
        artifact, _ = artifacts.get_artifact(config=rows[infos[CONFIG].sha256], weights=rows[infos[WEIGHTS].sha256])
        base_name = _base_name(infos[CONFIG].sha256)
        base = artifact.base or bases.resolve_base(base_name)
        adapter = insert_adapter(
            Adapter(
                owner=owner,
                name=name,
                origin=origin,
                private_reason=private_reason,
                title=fields.title,
                description=fields.description,
                license=fields.license,
                tags=fields.tags,
                base=base,
                base_name=base_name,
            )
        )
        parents = [(parent.adapter.full_name, weight) for parent, weight in lineage]
        card = write_card(adapter, fields.prompt_format, origin=cards.Origin(operation, parents, recipe))
        create_version(
            author=owner,
            adapter=adapter,
            artifact=artifact,
            files={**{path: rows[info.sha256] for path, info in infos.items()}, CARD: card},
            message=f"Made by {operation} from {', '.join(parent for parent, _ in parents)}",
            prompt_format=fields.prompt_format,
            recipe=recipe,
            parents=lineage,
            operation=operation,
        )
        if artifacts.needs_check(artifact):
            artifacts.request_inspection(owner=owner, artifact=artifact, label=adapter.full_name, base=base)
        embed_when_valid(adapter)
        audit.record(
            actor=owner,
            action="adapter.create",
            target=adapter.full_name,
            origin=origin,
            operation=operation,
            parents=[parent for parent, _ in parents],
        )
    return adapter


def _base_name(config: str) -> str:
    """The base that the written config names."""
    with blob_store().open(config) as file:
        name = json.loads(file.read(MAX_CONFIG)).get("base_model_name_or_path")
    return str(name)[:300] if name else ""
