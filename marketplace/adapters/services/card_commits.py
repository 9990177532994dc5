"""A changed card as a commit: everything but the card stays what the current version has."""

from __future__ import annotations

from inference_worker.blobs import BlobInfo
from inference_worker.contracts.common import PromptFormat
from marketplace.accounts.models import User
from marketplace.adapters.models import Adapter, Version
from marketplace.adapters.services.card_files import store_card
from marketplace.adapters.services.publishing import check_owner_quota
from marketplace.adapters.services.versions import create_version
from marketplace.adapters.uploads.selection import CARD
from marketplace.core.errors import Conflict


def commit_card(
    *, author: User, adapter: Adapter, text: str, message: str, prompt_format: PromptFormat | None = None
) -> Version:
    """Commit ``text`` as the adapter's card on the current artefact. Call inside a transaction, permission checked.

    A card changes nothing about how the weights were made: recipe and lineage go along. Without ``prompt_format`` the
    current one stays. Raises ``Conflict`` without a current version, ``QuotaExceeded``.
    """
    current = adapter.current
    if current is None:
        raise Conflict(f"{adapter.full_name} has no version yet.")
    edges = list(current.parents.select_related("parent"))
    card = store_card(text)
    # Whoever writes it, its owner stores it.
    check_owner_quota(adapter.owner, [BlobInfo(card.sha256, card.git_sha1, card.size)])
    return create_version(
        author=author,
        adapter=adapter,
        artifact=current.artifact,
        files={**{file.path: file.blob for file in current.files.select_related("blob")}, CARD: card},
        message=message or "Edit the card",
        prompt_format=prompt_format or PromptFormat.model_validate(current.prompt_format),
        recipe=current.recipe,
        parents=[(edge.parent, edge.weight) for edge in edges],
        operation=next((edge.operation for edge in edges), ""),
    )
