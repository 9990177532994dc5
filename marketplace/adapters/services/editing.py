"""Changes of a published adapter: its card, its visibility, its end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.db import transaction
from django.utils import timezone

from inference_worker.contracts.common import PromptFormat
from marketplace.accounts.models import User
from marketplace.adapters import cards, policy
from marketplace.adapters.cards import CardFields
from marketplace.adapters.fields import Checker
from marketplace.adapters.models import Adapter, Artifact, Embedding, Lineage
from marketplace.adapters.services.card_commits import commit_card
from marketplace.adapters.services.card_files import card_fields, current_card
from marketplace.adapters.services.publishing import Fields, check_fields, set_examples
from marketplace.adapters.services.versions import embed_when_valid
from marketplace.bases.answers import base_of_upload, remember_answer
from marketplace.core.errors import Conflict, Forbidden, Invalid, NotFound
from marketplace.moderation import audit


def locked_for_editing(user: User, adapter: Adapter) -> Adapter:
    """The row, locked, when ``user`` may change it. Call inside a transaction."""
    row = Adapter.objects.select_for_update(of=("self",)).select_related("owner", "base").filter(pk=adapter.pk).first()
    if row is None or not policy.may_view(user, row):
        raise NotFound(f"There is no adapter {adapter.full_name}, or it is not yours to see.")
    if not policy.may_edit(user, row):
        if row.owner_id == user.pk:
            raise Forbidden(
                f"{row.full_name} is {row.get_moderation_display().lower()} by a moderator and cannot be changed.",
                code="moderated",
            )
        raise Forbidden(f"Only {row.owner.username} may change {row.full_name}.")
    return row


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
            _set_visibility(row, visibility)
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


def check_stated_licence(checker: Checker, row: Adapter, license: str) -> None:
    """A merge carries what its parents' licences ask for; to state another one would undo that."""
    if license != row.license and not policy.may_relicense(row):
        checker.fault(
            "license",
            f"{row.full_name} was merged, so its licence follows from its parents and stays "
            f"{row.license or 'not stated'}.",
        )


def _write_columns(row: Adapter, fields: Fields, base: str | None) -> None:
    row.title, row.description, row.license = fields.title, fields.description, fields.license
    row.tags = fields.tags
    if base is not None:
        _answer_base(row, base)
    row.updated_at = timezone.now()
    row.save(update_fields=["title", "description", "license", "tags", "base", "updated_at"])


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


def set_visibility(*, user: User, adapter: Adapter, visibility: str) -> Adapter:
    """Make an adapter public or private.

    ``Conflict`` where a licence keeps it private, it was not accepted, or a parent of a merge is not public: recipe,
    card and message of a merge name its parents. A parent that goes out of sight later stays named there, in what
    was published with its owner's consent; lineage and recipe on pages and in REST name it no more
    (``selectors.lineage_of``, ``selectors.recipe_of``).
    """
    with transaction.atomic():
        row = locked_for_editing(user, adapter)
        if visibility != row.visibility:
            _set_visibility(row, visibility)
            audit.record(actor=user, action="adapter.visibility", target=row.full_name, visibility=visibility)
    return row


def _set_visibility(row: Adapter, visibility: str) -> None:
    if visibility not in Adapter.Visibility.values:
        sentence = f"Choose one of: {', '.join(Adapter.Visibility.values)}."
        raise Invalid(sentence, extra={"fields": {"visibility": [sentence]}})
    if visibility == Adapter.Visibility.PUBLIC:
        if row.private_reason:
            raise Conflict(row.private_reason, code="must_stay_private")
        if row.current is not None and row.current.artifact.state == Artifact.State.INVALID:
            raise Conflict(f"{row.full_name} was not accepted, so it cannot be public.", code="artifact_invalid")
        _check_parents(row)
    row.visibility = visibility
    row.updated_at = timezone.now()
    row.save(update_fields=["visibility", "updated_at"])


def _check_parents(row: Adapter) -> None:
    """``Conflict`` while a parent is private or taken down; parents of others are not named."""
    edges = Lineage.objects.filter(child__adapter=row).exclude(
        parent__adapter__visibility=Adapter.Visibility.PUBLIC, parent__adapter__moderation=Adapter.Moderation.VISIBLE
    )
    hidden = {edge.parent.adapter for edge in edges.select_related("parent__adapter__owner")}
    if not hidden:
        return
    own = sorted(parent.full_name for parent in hidden if policy.may_edit(row.owner, parent))
    sentences = [f"{row.full_name} names what it was merged from, and not all of that is public."]
    if own:
        sentences.append(f"Publish {', '.join(own)} first.")
    if len(own) < len(hidden):
        sentences.append("A parent belongs to somebody's private adapter, or was taken down; the merge stays private.")
    raise Conflict(" ".join(sentences), code="parents_private", extra={"parents": own})


def delete_adapter(*, user: User, adapter: Adapter) -> None:
    """Delete an adapter. Its name stays taken, and what was made from it keeps its lineage."""
    with transaction.atomic():
        row = locked_for_editing(user, adapter)
        row.deleted_at = row.updated_at = timezone.now()
        row.search = None
        row.save(update_fields=["deleted_at", "updated_at", "search"])
        row.examples.all().delete()
        Embedding.objects.filter(adapter=row).delete()
        audit.record(actor=user, action="adapter.delete", target=row.full_name)
