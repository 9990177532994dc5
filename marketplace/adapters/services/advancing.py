"""A new version comes into force once its artefact is accepted; until then an adapter stays what it was.

A version that is being checked, or was not accepted, stands beside the accepted one: its owner sees it with its state
and problems, everybody else goes on with the accepted one.
"""

from __future__ import annotations

from django.utils import timezone

from inference_worker.contracts.common import PromptFormat
from marketplace.adapters import cards
from marketplace.adapters.cards import CardFields
from marketplace.adapters.models import Adapter, Artifact, Version
from marketplace.adapters.services.card_files import card_fields, card_of, follow_card, store_card
from marketplace.adapters.services.stated import STATED
from marketplace.adapters.services.versions import create_version
from marketplace.adapters.uploads.selection import CARD
from marketplace.bases import selectors as bases
from marketplace.bases.answers import owners_choice
from marketplace.bases.models import Base


def advance(adapter: Adapter, artifact: Artifact) -> bool:
    """Make the newest version on a just accepted artefact the current one; False when a later one is in force already.

    Was only the card changed meanwhile, the new weights are committed once more with that card. Call inside a
    transaction, with the adapter's row locked.
    """
    version = adapter.versions.select_related("parent", "author").filter(artifact=artifact).order_by("-pk").first()
    current = adapter.current
    if version is None or (version.yanked_at is not None and current is not None):
        return False
    if current is None or current.artifact.state != Artifact.State.VALID or current.pk < version.pk:
        adapter.current = version
        adapter.updated_at = timezone.now()
        follow_card(adapter)
        adapter.save(update_fields=["current", "updated_at", *STATED])
        return True
    if version.parent is not None and version.parent.artifact_id == current.artifact_id:
        _commit_with_card_of(adapter, current, version)
        return True
    return False


def _commit_with_card_of(adapter: Adapter, current: Version, version: Version) -> None:
    """``version`` once more on top of ``current``, whose card is newer."""
    text = card_of(version)
    try:
        front, _ = cards.split(text)
    except cards.CardFault:
        front = {}
    before = CardFields(title=str(front.get("title", "")), description=str(front.get("description", "")))
    prompt_format = PromptFormat.model_validate(current.prompt_format)
    fields = card_fields(adapter, prompt_format, base_name=base_name_of(version.artifact))
    text = cards.rewrite(text, fields, full_name=adapter.full_name, before=before)
    edges = list(version.parents.select_related("parent"))
    create_version(
        author=version.author or adapter.owner,
        adapter=adapter,
        artifact=version.artifact,
        files={**{file.path: file.blob for file in version.files.select_related("blob")}, CARD: store_card(text)},
        message=version.message,
        prompt_format=prompt_format,
        recipe=version.recipe,
        parents=[(edge.parent, edge.weight) for edge in edges],
        operation=next((edge.operation for edge in edges), ""),
    )


def base_name_of(artifact: Artifact) -> str:
    """The base as the checked config names it; empty before the check and where it names none."""
    return str(artifact.summary.get("base_model_name", ""))[:300]


def set_base(adapter: Adapter, artifact: Artifact, *, found: Base | None, name: str) -> None:
    """The adapter's base from its current artefact, unsaved: the one that was ``found`` by ``name``, else the owner's
    own answer as long as the shapes fit."""
    if found is None and adapter.base is not None and not bases.shape_conflicts(adapter.base, artifact.modules):
        found = adapter.base
    adapter.base = owners_choice(adapter, artifact.modules, found)
    adapter.base_name = name[:300] or adapter.base_name
