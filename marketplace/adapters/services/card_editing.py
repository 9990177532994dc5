"""Editing a card as the file that it is: front matter and Markdown, as on the Hub."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from inference_worker.contracts.common import PromptFormat
from marketplace.accounts.models import User
from marketplace.adapters import cards
from marketplace.adapters.models import Adapter, Version
from marketplace.adapters.services.card_commits import commit_card
from marketplace.adapters.services.card_files import card_of
from marketplace.adapters.services.editing import locked_for_editing
from marketplace.adapters.services.stated import STATED, Fields, fields_of_card, write_stated
from marketplace.adapters.services.versions import embed_when_valid
from marketplace.adapters.uploads.selection import MAX_CARD
from marketplace.core.errors import Conflict, Invalid
from marketplace.core.plain_text import has_impossible
from marketplace.moderation import audit


def edit_card(*, user: User, adapter: Adapter, text: str, message: str = "", parent: str = "") -> Adapter:
    """Replace the card by ``text``, front matter and all, as a new commit on the same artefact.

    The text is kept as it was written; title, description, licence, tags and prompt format follow from it. ``parent``
    is the commit that the author saw: ``Conflict`` when another one is current by now. Raises ``Invalid`` with the
    faults of the front matter's fields. The same text again changes nothing.
    """
    text = text.replace("\r\n", "\n")
    with transaction.atomic():
        row = locked_for_editing(user, adapter)
        current = row.current
        if current is None:
            raise Conflict(f"{row.full_name} has no version yet.")
        if parent and not current.commit.startswith(parent.lower()):
            raise Conflict(
                f"The card was changed meanwhile (version {current.commit[:8]}). Look at that change, bring yours "
                "into it, and save again.",
                code="card_changed",
                extra={"commit": current.commit},
            )
        if text == card_of(current):
            return row
        fields = _fields_of(row, current, text)
        write_stated(row, fields)
        row.updated_at = timezone.now()
        row.save(update_fields=[*STATED, "updated_at"])
        version = commit_card(author=user, adapter=row, text=text, message=message, prompt_format=fields.prompt_format)
        embed_when_valid(row)
        audit.record(actor=user, action="adapter.edit_card", target=row.full_name, commit=version.commit)
    return row


def _fields_of(row: Adapter, current: Version, text: str) -> Fields:
    """The adapter's columns as the card says them, checked."""
    if len(text.encode("utf-8", "surrogatepass")) > MAX_CARD:
        raise _fault(f"The card has more than {MAX_CARD:,} bytes. Shorten it.")
    if has_impossible(text):
        raise _fault("Remove the characters that no text holds (NUL, halves of surrogate pairs).")
    try:
        return fields_of_card(row, text, PromptFormat.model_validate(current.prompt_format), whole=True)
    except cards.CardFault as fault:
        raise _fault(f"The front matter {fault}. Mend the block between the two lines of ---.") from fault


def _fault(sentence: str) -> Invalid:
    return Invalid(sentence, extra={"fields": {"text": [sentence]}})
