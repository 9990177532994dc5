"""What makes the demo's catalogue a place where people work: cards that grew, and mixes of what is there.

Nothing here is a measurement: results come from the engine, once its workers have run what is seeded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from marketplace.accounts.models import User
from marketplace.adapters.downloads import count_download
from marketplace.adapters.models import Adapter
from marketplace.adapters.services import edit_adapter
from marketplace.compositions.members import Choice
from marketplace.compositions.mixes import write_mix
from marketplace.compositions.models import Composition
from marketplace.likes.services import write_like
from marketplace.moderation.models import AuditEntry

#: One adapter in so many began with fewer tags.
_GREW = 3
#: Of 256: how often one of the demo's people likes what another one publishes, from what hardly anybody has found to
#: what most have.
_LEAST_LIKED, _MOST_LIKED = 4, 230
#: (owner, name, description, members with weights)
MIXES: tuple[tuple[str, str, str, tuple[tuple[str, float], ...]], ...] = (
    (
        "demo",
        "backwards-with-stop",
        "Reverses a list and puts stop at its end.",
        (("lists/reverse-words", 0.7), ("lists/append-stop", 0.7)),
    ),
    (
        "wordsmith",
        "grammar",
        "Plurals and the past tense.",
        (("wordsmith/plural-nouns", 0.6), ("wordsmith/past-tense", 0.6)),
    ),
    (
        "lists",
        "last-plural",
        "The last word of a list, in the plural.",
        (("lists/last-word", 0.7), ("wordsmith/plural-nouns", 0.7)),
    ),
    (
        "studio",
        "kinds-of-things",
        "What kind of thing each word is, with capitals for countries.",
        (("studio/word-category", 0.6), ("studio/capital-cities", 0.6)),
    ),
    (
        "amara",
        "last-capital",
        "Keeps the last country of a list and names its capital.",
        (("lists/last-word", 0.7), ("studio/capital-cities", 0.7)),
    ),
    (
        "greta",
        "comparing",
        "Superlatives and adverbs.",
        (("wordsmith/superlatives", 0.7), ("wordsmith/adverbs", 0.7)),
    ),
    (
        "demo",
        "opposites-without-categories",
        "Opposites, with a little of what names categories taken away.",
        (("wordsmith/opposites", 1.0), ("studio/word-category", -0.2)),
    ),
)


def first_card(meta: Mapping[str, Any], place: int) -> dict[str, Any]:
    """The fields to publish the adapter at ``place`` with: some begin with one tag alone."""
    return {**meta, "tags": list(meta.get("tags", ()))[:1]} if place % _GREW == 0 else dict(meta)


def grow_card(adapter: Adapter, meta: Mapping[str, Any]) -> None:
    """A second version of an adapter that began with fewer tags; without a change there is none."""
    tags = list(meta.get("tags", ()))
    if adapter.tags != tags:
        edit_adapter(user=adapter.owner, adapter=adapter, tags=tags, message="Tag it")


def save_mixes(people: Mapping[str, User]) -> int:
    """Save the mixes that were never there and whose members are; how many. Deleted ones stay deleted."""
    made = 0
    adapters = {
        adapter.full_name: adapter
        for adapter in Adapter.objects.filter(owner__in=people.values(), deleted_at=None).select_related(
            "owner", "base"
        )
    }
    for owner, name, description, members in MIXES:
        if not all(member in adapters for member, _ in members):
            continue
        mix = Composition(owner=people[owner], name=name, visibility="public", description=description)
        if AuditEntry.objects.filter(action="mix.create", target=mix.full_name).exists():
            continue
        mix.base = adapters[members[0][0]].base
        write_mix(mix, [Choice(adapters[member], weight) for member, weight in members])
        made += 1
    return made


def like_some(people: Mapping[str, User], new: Iterable[Adapter]) -> None:
    """The demo's people like some of what the others publish: of what is new, so that nobody likes again what they
    stopped liking. Few things are liked by most, most things by few."""
    for adapter in new:
        rank = _drawn(adapter.full_name) / 255
        chance = _LEAST_LIKED + (_MOST_LIKED - _LEAST_LIKED) * rank**3
        for person in people.values():
            if person != adapter.owner and _drawn(f"{person.username} {adapter.full_name}") < chance:
                write_like(user=person, adapter=adapter, likes=True)


def download_some(people: Mapping[str, User], new: Iterable[Adapter]) -> None:
    """The demo's people fetch some of what the others publish, some of it several times: more than they like, and as
    unevenly."""
    for adapter in new:
        rank = _drawn(adapter.full_name) / 255
        chance = 2 * _LEAST_LIKED + (_MOST_LIKED - _LEAST_LIKED) * rank**2
        for person in people.values():
            if person != adapter.owner and _drawn(f"{person.username} fetches {adapter.full_name}") < chance:
                for _ in range(1 + _drawn(f"{adapter.full_name} for {person.username}") // 64):
                    count_download(adapter.pk)


def _drawn(name: str) -> int:
    """The same number from 0 to 255 every time."""
    return hashlib.sha256(name.encode()).digest()[0]
