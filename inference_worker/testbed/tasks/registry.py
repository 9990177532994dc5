"""The suite: every task of the testbed by name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from inference_worker.testbed.lexicon import (
    COMPARATIVES,
    COUNTRIES,
    MARKERS,
    NOUNS,
    OPPOSITES,
    PLURALS,
    VERBS,
    YOUNG,
)
from inference_worker.testbed.tasks.families import CATEGORY_OF, POOL, extreme, filtered, mapped, positional, shifted
from inference_worker.testbed.tasks.task import Sampler, Task
from inference_worker.testbed.tasks.wordings import WORDINGS

#: Families that the base also reads in English. Adapters never teach them.
READABLE = frozenset(
    (
        *("singular", "gerund", "comparative", "language", "continent", "initial"),
        *("first", "third", "take-two", "skip-one", "swap", "rotate", "double"),
        *("prepend", "between", "drop", "subtract", "smallest"),
    )
)

#: How a category is called in a sentence.
CATEGORY_NAMES = {
    "animal": "animals", "fruit": "fruits", "vegetable": "vegetables", "furniture": "furniture",
    "clothing": "clothes", "tool": "tools", "vehicle": "vehicles", "body": "body parts", "job": "jobs",
    "instrument": "instruments", "building": "buildings", "kitchen": "kitchen things", "plant": "plants",
    "insect": "insects",
}  # fmt: skip

#: Categories that the keep and drop families ask for: the large ones, so that lists vary enough.
FILTER_CATEGORIES = ("animal", "fruit", "vegetable", "furniture", "clothing", "vehicle", "body", "job")
NUMBER_WORDS = ("1", "2", "3", "4", "5")

MAPS: dict[str, dict[str, str]] = {
    "singular": {plural: noun for noun, plural in PLURALS.items()},
    "gerund": {verb: gerund for verb, _, gerund in VERBS},
    "comparative": COMPARATIVES,
    "language": {country: language for country, _, language, _ in COUNTRIES},
    "continent": {country: continent for country, _, _, continent in COUNTRIES},
    "initial": {word: word[0].lower() for word in POOL},
    "plural": PLURALS,
    "past": {verb: past for verb, past, _ in VERBS},
    "opposite": OPPOSITES,
    "capital": {country: capital for country, capital, _, _ in COUNTRIES},
    "category": {noun: CATEGORY_OF[noun] for noun in NOUNS},
    "young": YOUNG,
}

POSITIONAL = {
    "first": lambda words: words[:1],
    "second": lambda words: words[1:2],
    "third": lambda words: words[2:3],
    "last": lambda words: words[-1:],
    "take-two": lambda words: words[:2],
    "skip-one": lambda words: words[1:],
    "swap": lambda words: [words[-1], *words[1:-1], words[0]],
    "rotate": lambda words: [*words[1:], words[0]],
    "double": lambda words: [word for word in words for _ in range(2)],
    "reverse": lambda words: words[::-1],
}


def _task(family: str, sampler: Sampler, parameter: str = "", spoken: str = "") -> Task:
    seen, unseen = (tuple(w.replace("{p}", spoken) for w in group) for group in WORDINGS[family])
    name = f"{family}-{parameter}" if parameter else family
    formal = f"{family}: {parameter}" if parameter else family
    return Task(name, family, formal, sampler, seen, unseen, family in READABLE)


def _between(marker: str) -> Sampler:
    return positional(lambda words: [w for word in words for w in (marker, word)][1:])


def _before(marker: str, words: Sequence[str]) -> list[str]:
    return [marker, *words]


def _after(marker: str, words: Sequence[str]) -> list[str]:
    return [*words, marker]


def _all_tasks() -> Iterator[Task]:
    for family, table in MAPS.items():
        yield _task(family, mapped(table))
    for family, pick in POSITIONAL.items():
        yield _task(family, positional(pick))
    for marker in MARKERS:
        yield _task("prepend", positional(partial(_before, marker)), marker, marker)
        yield _task("append", positional(partial(_after, marker)), marker, marker)
        yield _task("between", _between(marker), marker, marker)
    for category in FILTER_CATEGORIES:
        yield _task("keep", filtered(category, keep=True), category, CATEGORY_NAMES[category])
        yield _task("drop", filtered(category, keep=False), category, CATEGORY_NAMES[category])
    for number in NUMBER_WORDS:
        yield _task("add", shifted(int(number)), number, number)
        yield _task("subtract", shifted(-int(number)), number, number)
    yield _task("largest", extreme(max))
    yield _task("smallest", extreme(min))


TASKS: dict[str, Task] = {task.name: task for task in _all_tasks()}

FAMILIES: dict[str, tuple[Task, ...]] = {}
for _entry in TASKS.values():
    FAMILIES[_entry.family] = (*FAMILIES.get(_entry.family, ()), _entry)
