"""Clean words: those of which no English task example of any training shows anything.

A word that is held out never stands in an input, yet it can have been an answer (“cold” where “hot” was asked), or its
forms can have been there (“wolves” beside “wolf”). What is measured on held-out words is measured on clean ones:
neither the word that is asked, nor the answer, nor another form of either occurs in an input or an answer of any
English task example, be it of a base or of an adapter, of the adapter's own task or of others that it is held to
leave alone.

Two things are exempt. Answers from closed sets (a category, a number, a letter) answer many questions, so that having
read them tells nothing. And a number, letter, month or day is clean when nothing asked about it: it may have been the
answer to another one. Instructions are not looked at, nor the plain sentences and the formal syntax that a base reads:
there it learns the words.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from inference_worker.testbed.lexicon import (
    ADVERBS,
    CATEGORIES,
    COMPARATIVES,
    DAYS,
    GERUNDS,
    LETTERS,
    MONTHS,
    NUMBER_NAMES,
    NUMBERS,
    PASTS,
    PLURALS,
    SUPERLATIVES,
    THIRD_PERSONS,
)
from inference_worker.testbed.tasks.registry import TASKS
from inference_worker.testbed.tasks.task import Task
from inference_worker.testbed.tasks.words import split

#: With fewer clean words than this a task is not measured on them: a handful says nothing.
ENOUGH = 5

SEQUENCES = frozenset((*NUMBERS, *NUMBER_NAMES.values(), *LETTERS, *MONTHS, *DAYS))
CLOSED = SEQUENCES | frozenset((*CATEGORIES, "even", "odd"))


def _lemmas() -> Iterator[frozenset[str]]:
    """Words that are forms of one another."""
    for tables in ((PLURALS,), (PASTS, GERUNDS, THIRD_PERSONS), (COMPARATIVES, SUPERLATIVES, ADVERBS)):
        for word in dict.fromkeys(word for table in tables for word in table):
            yield frozenset((word, *(table[word] for table in tables if word in table)))


@cache
def _forms() -> dict[str, frozenset[str]]:
    """Word -> its forms and itself. A word of two lemmas (the tool “saw”, “saw” of “see”) has the forms of both."""
    forms: dict[str, frozenset[str]] = {}
    for lemma in _lemmas():
        for word in lemma:
            forms[word] = forms.get(word, frozenset()) | lemma
    return forms


def forms_of(word: str) -> frozenset[str]:
    return _forms().get(word, frozenset((word,)))


@cache
def trained_words() -> tuple[frozenset[str], frozenset[str]]:
    """All words that English task examples of any training can ask about, and all that can stand in their answers."""
    asked: set[str] = set()
    answered: set[str] = set()
    for task in TASKS.values():
        if task.held_out:
            continue
        # The word that an insertion writes.
        answered.add(task.parameter)
        for pool in task.sampler.pools:
            known, _ = split(pool)
            asked.update(known)
            answered.update(task.sampler.answers[word] for word in known)
    return frozenset(asked), frozenset(answered)


def is_clean(word: str, answer: str) -> bool:
    """Whether no English training example shows anything of ``word``, which is to be answered by ``answer``."""
    asked, answered = trained_words()
    if word in asked:
        return False
    named = frozenset() if word in SEQUENCES else forms_of(word)
    if answer not in CLOSED:
        named |= forms_of(answer)
    return not named & (asked | answered)


def clean_words(task: Task) -> frozenset[str]:
    """The words that ``task`` can be asked about without any of them having been shown; none where they are too few."""
    sampler = task.sampler
    found = frozenset(word for word, answer in sampler.answers.items() if is_clean(word, answer))
    return found if all(len(found.intersection(pool)) >= ENOUGH for pool in sampler.pools) else frozenset()
