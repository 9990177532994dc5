"""Which words of the lexicon are held out, and how samplers draw words.

*Held out* says: the word never stands in the input of an English training prompt. It may have been an answer there, as
may another form of it; ``clean.py`` knows the words of which nothing was shown.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from random import Random
from typing import Literal

from inference_worker.testbed.lexicon import CATEGORIES

#: ``known`` leaves the held-out words away, ``fresh`` takes as many of them as there are, ``any`` makes no difference.
#: A set allows its own words alone.
Words = Literal["any", "known", "fresh"] | frozenset[str]


#: Pools with fewer words than this are too small to spare any.
SMALL = 12
#: Words of small categories stand in training prompts about these categories, so they count as held out nowhere.
SPARED = frozenset(word for words in CATEGORIES.values() if len(words) < SMALL for word in words)


@cache
def _marked(word: str) -> bool:
    """About one word in six. It depends on the word alone, so it holds for all tasks and for words added later."""
    return hashlib.sha256(f"held out: {word}".encode()).digest()[0] % 6 == 0


def is_held_out(word: str) -> bool:
    """Whether ``word`` never stands in the input of an English training prompt, but where a small table needs it."""
    return _marked(word) and word not in SPARED


@cache
def split(pool: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The known and the held-out words of ``pool``; words that are only sometimes held out are neither."""
    if len(pool) < SMALL:
        return pool, ()
    return tuple(w for w in pool if not _marked(w)), tuple(w for w in pool if is_held_out(w))


def draw(rng: Random, pool: tuple[str, ...], count: int, words: Words) -> list[str]:
    """Words from ``count`` places of ``pool``, or from all where it has fewer: distinct ones, but for a pool that holds
    a word twice."""
    if isinstance(words, frozenset):
        allowed = tuple(dict.fromkeys(word for word in pool if word in words))
        return rng.sample(allowed, min(count, len(allowed)))
    if words == "any":
        return rng.sample(pool, min(count, len(pool)))
    known, fresh = split(pool)
    if words == "known":
        return rng.sample(known, min(count, len(known)))
    chosen = rng.sample(fresh, min(count, len(fresh)))
    chosen += rng.sample(known, min(count - len(chosen), len(known)))
    return _shuffled(rng, chosen)


def _shuffled(rng: Random, items: Sequence[str]) -> list[str]:
    return rng.sample(items, len(items))
