"""Changes of what is said about a published adapter."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.db import transaction
from django.utils import timezone

from inference_worker.contracts.common import PromptFormat
from marketplace import policy
from marketplace.accounts.models import User
from marketplace.adapters import cards
from marketplace.adapters.cards import CardFields
from marketplace.adapters.fields import Checker
from marketplace.adapters.models import Adapter
from marketplace.adapters.services.card_commits import commit_card
from marketplace.adapters.services.card_files import card_fields, current_card
from marketplace.adapters.services.publishing import set_examples
from marketplace.adapters.services.renaming import locked_with_owner
from marketplace.adapters.services.stated import STATED, Fields, check_fields, check_stated_licence, write_stated
from marketplace.adapters.services.versions import embed_when_valid
from marketplace.adapters.services.visibility import change_visibility
from marketplace.bases.answers import base_of_upload, remember_answer
from marketplace.core.errors import Conflict
from marketplace.moderation import audit


def locked_for_editing(user: User, adapter: Adapter) -> Adapter:
    """The row, locked, when ``user`` may change it. Call inside a transaction."""
    return locked_with_owner(user, adapter, policy.Action.EDIT)


def edit_adapter(
    *,
    user: User,
    adapter: Adapter,
    title: str | None = None,
    description: str | None = None,
    license: str | None = None,
    tags: Iterable[str] | None = None,
    prompt_format: PromptFormat | Mapping[str, Any] | None = None,
    examples: Sequence[Any] | None = None,
    base: str | None = None,
    visibility: str | None = None,
    message: str = "",
) -> Adapter:
    """Change what is said about an adapter; None leaves a field as it is.

    A changed card is a new commit on the same artefact: nothing is checked again, only the texts are embedded again.
    Without a change there is no commit. ``base`` answers which base it is where the config names none that is known.
    Raises ``Invalid`` for faults of fields, among them another licence for a merge, and ``Conflict`` as
    ``set_visibility``.
    """
    with transaction.atomic():
        row, checker = locked_for_editing(user, adapter), Checker()
        before = _card_before(row)
        fields = check_fields(
            checker,
            title=row.title if title is None else title,
            description=row.description if description is None else description,
            license=row.license if license is None else license,
            tags=row.tags if tags is None else tags,
            prompt_format=before.prompt_format if prompt_format is None else prompt_format,
            examples=[] if examples is None else examples,
        )
        check_stated_licence(checker, row, fields.license)
        checker.finish()
        _write_columns(row, fields, base)
        if examples is not None:
            set_examples(row, fields.examples)
        _commit_card(user, row, before, card_fields(row, fields.prompt_format), message)
        if visibility is not None and visibility != row.visibility:
            policy.require(user, policy.Action.ADMINISTER, row)
            change_visibility(row, visibility)
        embed_when_valid(row)
        audit.record(
            actor=user,
            action="adapter.edit",
            target=row.full_name,
            commit=row.current.commit if row.current else "",
            visibility=row.visibility,
        )
    return row


def _card_before(row: Adapter) -> CardFields:
    if row.current is None:
        raise Conflict(f"{row.full_name} has no version yet.")
    return card_fields(row, PromptFormat.model_validate(row.current.prompt_format))


def _write_columns(row: Adapter, fields: Fields, base: str | None) -> None:
    write_stated(row, fields)
    if base is not None:
        _answer_base(row, base)
    row.updated_at = timezone.now()
    row.save(update_fields=[*STATED, "base", "updated_at"])


def _commit_card(user: User, row: Adapter, before: CardFields, after: CardFields, message: str) -> None:
    """A new version with the changed card, if it changed."""
    if after == before:
        return
    text = cards.rewrite(current_card(row), after, full_name=row.full_name, before=before)
    commit_card(author=user, adapter=row, text=text, message=message, prompt_format=after.prompt_format)


def _answer_base(row: Adapter, answer: str) -> None:
    """Set the base by the owner's answer, or back to what config and card name when it is empty."""
    artifact = row.current.artifact if row.current else None
    if artifact is not None:
        row.base = base_of_upload(artifact, {"base_model": row.base_name}, answer)
        remember_answer(row, answer, row.base)
