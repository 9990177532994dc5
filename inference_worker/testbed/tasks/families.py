"""Samplers of the task families: each draws a list of words and works out the answer."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from inference_worker.testbed.lexicon import (
    CATEGORIES,
    COUNTRIES,
    NOUNS,
    NUMBERS,
    OPPOSITES,
    VERBS,
)
from inference_worker.testbed.tasks.task import Sampler

CATEGORY_OF: dict[str, str] = {noun: category for category, nouns in CATEGORIES.items() for noun in nouns}

#: Words that positional and insert families draw from.
POOL: tuple[str, ...] = (*NOUNS, *(verb[0] for verb in VERBS), *OPPOSITES, *(row[0] for row in COUNTRIES))


def mapped(table: dict[str, str]) -> Sampler:
    """Replace every word by its image in ``table``."""
    keys = tuple(table)

    def sample(rng: Random, length: int) -> tuple[list[str], list[str]]:
        given = rng.sample(keys, length)
        return given, [table[word] for word in given]

    return sample


def positional(pick: Callable[[list[str]], list[str]]) -> Sampler:
    """Answer with ``pick(list)``; what matters is the place of a word, not the word."""

    def sample(rng: Random, length: int) -> tuple[list[str], list[str]]:
        given = rng.sample(POOL, max(length, 3))
        return given, pick(given)

    return sample


def filtered(category: str, keep: bool) -> Sampler:
    """Keep or drop the words of one category. Both kinds of word occur in every list."""
    inside = CATEGORIES[category]
    outside = tuple(noun for noun in NOUNS if CATEGORY_OF[noun] != category)

    def sample(rng: Random, length: int) -> tuple[list[str], list[str]]:
        count = rng.randint(1, max(1, length - 1))
        given = rng.sample(inside, count) + rng.sample(outside, max(1, length - count))
        rng.shuffle(given)
        return given, [word for word in given if (CATEGORY_OF[word] == category) == keep]

    return sample


def shifted(amount: int) -> Sampler:
    """Add ``amount`` (negative: subtract) to every number; operands and results stay within 0–99."""
    operands = [int(n) for n in NUMBERS if 0 <= int(n) + amount <= int(NUMBERS[-1])]

    def sample(rng: Random, length: int) -> tuple[list[str], list[str]]:
        given = rng.sample(operands, length)
        return [str(n) for n in given], [str(n + amount) for n in given]

    return sample


def extreme(choose: Callable[[list[int]], int]) -> Sampler:
    """Answer with the one number that ``choose`` picks (``max`` or ``min``)."""
    operands = [int(n) for n in NUMBERS]

    def sample(rng: Random, length: int) -> tuple[list[str], list[str]]:
        given = rng.sample(operands, max(length, 2))
        return [str(n) for n in given], [str(choose(given))]

    return sample
