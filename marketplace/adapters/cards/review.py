"""What there is to say about a card before it is kept: shown beside the preview and after an upload."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from inference_worker.contracts.common import Problem
from marketplace.adapters.cards.front_matter import CardFault, split
from marketplace.adapters.cards.metadata import CardMetadata, read_metadata
from marketplace.adapters.cards.secret_scan import secret_problems
from marketplace.adapters.uploads.problems import warning
from marketplace.adapters.uploads.selection import CARD
from marketplace.bases.recognition import spellings
from marketplace.bases.shipped import known_bases


@dataclass(frozen=True)
class Review:
    """A card taken apart: the Markdown below the front matter, what the front matter says, and what is wrong."""

    body: str
    front: dict[str, Any]
    metadata: CardMetadata
    problems: tuple[Problem, ...]
    #: Whether the front matter could be read at all.
    readable: bool = True


def review(text: str, *, base_name: str = "") -> Review:
    """Take ``text`` apart and say what is wrong with it; ``base_name`` is the base as the adapter's config names it."""
    try:
        front, body = split(text)
    except CardFault as fault:
        message = f"The card's front matter {fault}."
        remedy = "Mend the block between the two lines of ---, or take it out; it is written anew."
        problem = warning("card_front_matter", CARD, message, remedy)
        return Review(text, {}, CardMetadata(), (problem, *secret_problems(text, CARD)), readable=False)
    metadata, problems = read_metadata(front)
    problems.extend(_base_differs(metadata, base_name))
    problems.extend(secret_problems(text, CARD))
    return Review(body, front, metadata, tuple(problems))


def _meanings(name: str) -> set[str]:
    """A model's names without their owners: copies in other number formats and local folders count as the model."""
    wanted = [spelling for spelling, _ in spellings(name)]
    known = [base.name.lower() for spelling in wanted if (base := known_bases().get(spelling))]
    return {spelling.rpartition("/")[2] for spelling in [*wanted, *known]}


def _base_differs(metadata: CardMetadata, base_name: str) -> list[Problem]:
    if not base_name or not metadata.base_models:
        return []
    if any(_meanings(name) & _meanings(base_name) for name in metadata.base_models):
        return []
    message = f"The card says base_model: {metadata.base_models[0][:80]}, and the config says {base_name[:80]}."
    remedy = "The config counts. Correct the card, or upload the adapter with the right config."
    return [warning("card_base_differs", "base_model in the card", message, remedy)]
