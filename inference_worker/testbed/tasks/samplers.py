"""Samplers of the task families: each draws a list of words and works out the answer."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from inference_worker.testbed.lexicon import CATEGORIES, COUNTRIES, NOUNS, NUMBERS, OPPOSITES, VERBS
from inference_worker.testbed.tasks.task import Rule, Sampler
from inference_worker.testbed.tasks.words import Words, draw

CATEGORY_OF: dict[str, str] = {noun: category for category, nouns in CATEGORIES.items() for noun in nouns}

#: Words that positional, order and insertion families draw from. “clean” and “love” stand in it twice, as verbs and as
#: words with an opposite, so that one list in some thousands has one of them twice. It stays so, because another pool
#: would change what every seed draws.
POOL: tuple[str, ...] = (*NOUNS, *(verb[0] for verb in VERBS), *OPPOSITES, *(row[0] for row in COUNTRIES))


def mapped(table: dict[str, str]) -> Sampler:
    """Replace every word by its image in ``table``."""
    keys = tuple(table)

    def sample(rng: Random, length: int, words: Words) -> tuple[list[str], list[str]]:
        given = draw(rng, keys, length, words)
        return given, [table[word] for word in given]

    return Sampler(sample, (keys,), table)


def listed(rule: Rule, longest: int = 6) -> Sampler:
    """Answer with ``rule(list)``; what matters is the place of a word, not the word. ``longest`` caps lists whose
    answers are longer than themselves."""

    def sample(rng: Random, length: int, words: Words) -> tuple[list[str], list[str]]:
        given = draw(rng, POOL, min(max(length, 3), longest), words)
        return given, rule(given)

    return Sampler(sample, (POOL,), _copied(POOL))


def selected(category: str, rule: Rule, inside: tuple[int, ...]) -> Sampler:
    """A mixed list that holds as many words of ``category`` as one of ``inside``; ``rule`` gets the list."""
    members = CATEGORIES[category]
    others = tuple(noun for noun in NOUNS if CATEGORY_OF[noun] != category)

    def sample(rng: Random, length: int, words: Words) -> tuple[list[str], list[str]]:
        count = min(rng.choice(inside), length - 1)
        given = draw(rng, members, count, words) + draw(rng, others, length - count, words)
        rng.shuffle(given)
        return given, rule(given)

    return Sampler(sample, (members, others), _copied(NOUNS))


def keep(category: str) -> Rule:
    return lambda words: [word for word in words if CATEGORY_OF[word] == category]


def drop(category: str) -> Rule:
    return lambda words: [word for word in words if CATEGORY_OF[word] != category]


def first(category: str) -> Rule:
    kept = keep(category)
    return lambda words: kept(words)[:1]


def has(category: str) -> Rule:
    return lambda words: ["yes" if any(CATEGORY_OF[word] == category for word in words) else "no"]


def shifted(amount: int) -> Sampler:
    """Add ``amount`` (negative: subtract) to every number; operands and results stay within 0–99."""
    return mapped({n: str(int(n) + amount) for n in NUMBERS if 0 <= int(n) + amount <= int(NUMBERS[-1])})


def extreme(choose: Callable[[list[int]], int]) -> Sampler:
    """Answer with the one number that ``choose`` picks (``max`` or ``min``)."""

    def sample(rng: Random, length: int, words: Words) -> tuple[list[str], list[str]]:
        given = draw(rng, NUMBERS, max(length, 2), words)
        return given, [str(choose([int(n) for n in given]))]

    return Sampler(sample, (NUMBERS,), _copied(NUMBERS))


def _copied(pool: tuple[str, ...]) -> dict[str, str]:
    return {word: word for word in pool}
