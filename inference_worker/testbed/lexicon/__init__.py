"""Hand-kept lists of English words. Every word here is one token of the testbed's tokenizer.

Only words that are unambiguous inside the lexicon are kept: a noun stands in one category, a verb's past differs from
its base form, and a capital is one word.
"""

from __future__ import annotations

from inference_worker.testbed.lexicon.adjectives import (
    ADVERBS,
    COMPARATIVES,
    OPPOSITES,
    POSITIVES,
    SUPERLATIVES,
)
from inference_worker.testbed.lexicon.nouns import CATEGORIES, GROWN, NOUNS, PLURALS, SOUNDS, YOUNG
from inference_worker.testbed.lexicon.places import (
    CAPITAL_OF,
    CAPITALS,
    CONTINENTS,
    COUNTRIES,
    CURRENCIES,
    LANGUAGES,
)
from inference_worker.testbed.lexicon.sequences import DAYS, LETTERS, MARKERS, MONTHS, NUMBER_NAMES, NUMBERS
from inference_worker.testbed.lexicon.verbs import GERUNDS, INFINITIVES, PASTS, THIRD_PERSONS, VERBS

__all__ = [
    "ADVERBS", "CAPITALS", "CAPITAL_OF", "CATEGORIES", "COMPARATIVES", "CONTINENTS", "COUNTRIES", "CURRENCIES", "DAYS",
    "GERUNDS", "GROWN", "INFINITIVES", "LANGUAGES", "LETTERS", "MARKERS", "MONTHS", "NOUNS", "NUMBERS", "NUMBER_NAMES",
    "OPPOSITES", "PASTS", "PLURALS", "POSITIVES", "SOUNDS", "SUPERLATIVES", "THIRD_PERSONS", "VERBS", "YOUNG",
    "all_words",
]  # fmt: skip


def all_words() -> list[str]:
    """Every word that must be one token, in a fixed order, each once."""
    tables: tuple[dict[str, str], ...] = (
        PLURALS, PASTS, GERUNDS, THIRD_PERSONS, OPPOSITES, COMPARATIVES, SUPERLATIVES, ADVERBS, CAPITALS, LANGUAGES,
        CONTINENTS, CURRENCIES, YOUNG, SOUNDS, NUMBER_NAMES,
    )  # fmt: skip
    groups: tuple[tuple[str, ...], ...] = (
        *((*table, *table.values()) for table in tables),
        (*CATEGORIES, *MARKERS, *DAYS, *MONTHS, *NUMBERS, *LETTERS),
        ("yes", "no", "even", "odd"),
    )
    return list(dict.fromkeys(word for group in groups for word in group))
