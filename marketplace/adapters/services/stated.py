"""What people say about an adapter, in fields or in a card's front matter, checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inference_worker.contracts.common import PromptFormat
from marketplace import policy
from marketplace.adapters import cards
from marketplace.adapters.fields import MAX_DESCRIPTION, Checker, Example
from marketplace.adapters.models import Adapter


@dataclass(frozen=True)
class Fields:
    """What a person says about an adapter, checked."""

    title: str
    description: str
    license: str
    tags: list[str]
    prompt_format: PromptFormat
    examples: list[Example]


def check_fields(
    checker: Checker,
    *,
    title: str,
    description: str,
    license: str,
    tags: Iterable[str],
    prompt_format: PromptFormat | Mapping[str, Any] | None,
    examples: Sequence[Any],
) -> Fields:
    return Fields(
        title=checker.title(title),
        description=checker.text("description", description, MAX_DESCRIPTION),
        license=checker.license(license),
        tags=checker.tags(tags),
        prompt_format=checker.prompt_format(prompt_format),
        examples=checker.examples(examples),
    )


def check_stated_licence(checker: Checker, row: Adapter, license: str) -> None:
    """A merge carries what its parents' licences ask for; to state another one would undo that."""
    if license != row.license and not policy.may_relicense(row):
        checker.fault(
            "license",
            f"{row.full_name} was merged, so its licence follows from its parents and stays "
            f"{row.license or 'not stated'}.",
        )


def fields_of_card(row: Adapter, text: str, prompt_format: PromptFormat, *, whole: bool) -> Fields:
    """What a card says, checked. ``whole``: the card is all that is said, so what it leaves out is taken back; else
    the adapter's columns stand for what its front matter leaves out, as ``prompt_format`` does for its own.

    Raises ``cards.CardFault`` for front matter that cannot be read, ``Invalid`` with the fields at fault.
    """
    front, _ = cards.split(text)
    said = cards.suggested(text) if whole else {k: v for k, v in cards.suggested(text).items() if front.get(k)}
    own_format = front.get("prompt_format")
    checker = Checker()
    fields = check_fields(
        checker,
        title=said.get("title", "" if whole else row.title),
        description=said.get("description", "" if whole else row.description),
        license=said.get("license", "" if whole else row.license),
        tags=said.get("tags", () if whole else row.tags),
        prompt_format=own_format if isinstance(own_format, dict) else prompt_format,
        examples=(),
    )
    check_stated_licence(checker, row, fields.license)
    checker.finish()
    return fields


def said_by_card(row: Adapter, text: str, prompt_format: PromptFormat) -> Fields | None:
    """What the card of a next version says; None when its front matter cannot be read (a warning said so)."""
    try:
        return fields_of_card(row, text, prompt_format, whole=False)
    except cards.CardFault:
        return None


def write_stated(row: Adapter, fields: Fields) -> None:
    """The columns that a card speaks of, unsaved. Columns are a cache of the current version's card."""
    row.title, row.description, row.license = fields.title, fields.description, fields.license
    row.tags = fields.tags


#: The columns that ``write_stated`` sets.
STATED = ["title", "description", "license", "tags"]
