"""The suite: every task of the testbed by name."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from inference_worker.testbed.lexicon import (
    ADVERBS,
    CAPITAL_OF,
    CAPITALS,
    CATEGORIES,
    COMPARATIVES,
    CONTINENTS,
    CURRENCIES,
    DAYS,
    GERUNDS,
    GROWN,
    INFINITIVES,
    LANGUAGES,
    LETTERS,
    MARKERS,
    MONTHS,
    NOUNS,
    NUMBER_NAMES,
    NUMBERS,
    OPPOSITES,
    PASTS,
    PLURALS,
    POSITIVES,
    SOUNDS,
    SUPERLATIVES,
    THIRD_PERSONS,
    YOUNG,
)  # fmt: skip
from inference_worker.testbed.tasks.samplers import (
    CATEGORY_OF,
    POOL,
    Rule,
    drop,
    extreme,
    first,
    has,
    keep,
    listed,
    mapped,
    selected,
    shifted,
)  # fmt: skip
from inference_worker.testbed.tasks.task import Sampler, Task
from inference_worker.testbed.tasks.wording import WORDINGS

#: Families that the base also reads in English. Adapters never teach them.
READABLE = frozenset(
    (
        *("singular", "grown", "sound", "gerund", "infinitive", "comparative", "positive"),
        *("country", "language", "continent", "initial", "next-letter", "previous-month", "next-day"),
        *("first", "third", "take-two", "last-two", "ends", "skip-one"),
        *("swap-ends", "rotate-left", "double", "swap-last"),
        *("prepend", "between", "before-each", "before-last", "replace-first"),
        *("drop", "has", "subtract", "smallest", "digits", "tens", "parity"),
    )
)

#: How a category is called in a sentence.
CATEGORY_NAMES = {
    "animal": "animals", "fruit": "fruits", "vegetable": "vegetables", "furniture": "furniture",
    "clothing": "clothes", "tool": "tools", "vehicle": "vehicles", "body": "body parts", "job": "jobs",
    "instrument": "instruments", "building": "buildings", "kitchen": "kitchen things", "plant": "plants",
    "insect": "insects",
}  # fmt: skip

#: Parameters that no English training prompt has.
HELD_OUT_PARAMETERS = frozenset(
    (*("cloud", "salt", "smoke", "wave", "mirror"), *("instrument", "building", "insect"), *("4", "8"))
)


def _next(sequence: tuple[str, ...], step: int) -> dict[str, str]:
    return {word: sequence[(i + step) % len(sequence)] for i, word in enumerate(sequence)}


#: Cluster -> family -> table.
MAPS: dict[str, dict[str, dict[str, str]]] = {
    "nouns": {
        "plural": PLURALS, "singular": {plural: noun for noun, plural in PLURALS.items()}, "category": CATEGORY_OF,
        "young": YOUNG, "grown": GROWN, "sound": SOUNDS,
    },
    "verbs": {"past": PASTS, "gerund": GERUNDS, "third-person": THIRD_PERSONS, "infinitive": INFINITIVES},
    "adjectives": {
        "comparative": COMPARATIVES, "superlative": SUPERLATIVES, "positive": POSITIVES, "adverb": ADVERBS,
        "opposite": OPPOSITES,
    },
    "geography": {
        "capital": CAPITALS, "country": CAPITAL_OF, "language": LANGUAGES, "continent": CONTINENTS,
        "currency": CURRENCIES,
    },
    "letters": {
        "initial": {word: word[0].lower() for word in POOL}, "last-letter": {word: word[-1] for word in NOUNS},
        "length": {word: str(len(word)) for word in NOUNS},
        # The alphabet does not begin again after z.
        "next-letter": dict(pairwise(LETTERS)),
        "previous-letter": {second: first for first, second in pairwise(LETTERS)},
    },
    "calendar": {
        "next-month": _next(MONTHS, 1), "previous-month": _next(MONTHS, -1),
        "next-day": _next(DAYS, 1), "previous-day": _next(DAYS, -1),
    },
    "numbers": {
        "number-name": NUMBER_NAMES, "digits": {name: number for number, name in NUMBER_NAMES.items()},
        "tens": {n: n[0] for n in NUMBERS[10:]}, "units": {n: n[1] for n in NUMBERS[10:]},
        "parity": {n: ("even", "odd")[int(n) % 2] for n in NUMBERS},
        "twice": {n: str(2 * int(n)) for n in NUMBERS[:50]},
    },
}  # fmt: skip

#: Cluster -> family -> rule.
LISTS: dict[str, dict[str, Rule]] = {
    "positions": {
        "first": lambda words: words[:1],
        "second": lambda words: words[1:2],
        "third": lambda words: words[2:3],
        "last": lambda words: words[-1:],
        "second-last": lambda words: words[-2:-1],
        "take-two": lambda words: words[:2],
        "take-three": lambda words: words[:3],
        "last-two": lambda words: words[-2:],
        "ends": lambda words: [words[0], words[-1]],
        "skip-one": lambda words: words[1:],
        "skip-two": lambda words: words[2:],
        "drop-last": lambda words: words[:-1],
    },
    "order": {
        "reverse": lambda words: words[::-1],
        "swap-ends": lambda words: [words[-1], *words[1:-1], words[0]],
        "rotate-left": lambda words: [*words[1:], words[0]],
        "rotate-right": lambda words: [words[-1], *words[:-1]],
        "swap-first": lambda words: [words[1], words[0], *words[2:]],
        "swap-last": lambda words: [*words[:-2], words[-1], words[-2]],
        "double": lambda words: [word for word in words for _ in range(2)],
        "repeat": lambda words: [*words, *words],
    },
}

#: Lists whose answers are longer than themselves stay shorter.
LONGEST = {"double": 4, "repeat": 4, "after-each": 4, "before-each": 4, "between": 5}


def _insertion(family: str, marker: str) -> Rule:
    """The families that put ``marker`` somewhere into a list."""
    rules: dict[str, Rule] = {
        "append": lambda words: [*words, marker],
        "prepend": lambda words: [marker, *words],
        "between": lambda words: f" {marker} ".join(words).split(),
        "after-each": lambda words: [item for word in words for item in (word, marker)],
        "before-each": lambda words: [item for word in words for item in (marker, word)],
        "insert-second": lambda words: [words[0], marker, *words[1:]],
        "before-last": lambda words: [*words[:-1], marker, words[-1]],
        "wrap": lambda words: [marker, *words, marker],
        "replace-first": lambda words: [marker, *words[1:]],
        "replace-last": lambda words: [*words[:-1], marker],
    }
    return rules[family]


INSERTIONS = (
    "append", "prepend", "between", "after-each", "before-each", "insert-second", "before-last", "wrap",
    "replace-first", "replace-last",
)  # fmt: skip


def _task(
    family: str, cluster: str, sampler: Sampler, parameter: str = "", spoken: str = "", rule: Rule | None = None
) -> Task:
    return Task(
        name=f"{family}-{parameter}" if parameter else family,
        family=family,
        cluster=cluster,
        parameter=parameter,
        spoken=spoken or parameter,
        sampler=sampler,
        wording=WORDINGS[family],
        readable=family in READABLE,
        held_out=parameter in HELD_OUT_PARAMETERS,
        rule=rule,
    )


def _all_tasks() -> Iterator[Task]:
    for cluster, tables in MAPS.items():
        for family, table in tables.items():
            yield _task(family, cluster, mapped(table))
    for cluster, rules in LISTS.items():
        for family, rule in rules.items():
            yield _task(family, cluster, listed(rule, LONGEST.get(family, 6)), rule=rule)
    for family in INSERTIONS:
        for marker in MARKERS:
            rule = _insertion(family, marker)
            yield _task(family, "insertion", listed(rule, LONGEST.get(family, 6)), marker, rule=rule)
    for category in CATEGORIES:
        spoken = CATEGORY_NAMES[category]
        yield _task("keep", "selection", selected(category, keep(category), (1, 2, 2, 3)), category, spoken)
        yield _task("drop", "selection", selected(category, drop(category), (1, 1, 2)), category, spoken)
        yield _task("find", "selection", selected(category, first(category), (1, 2, 3)), category, spoken)
        yield _task("has", "selection", selected(category, has(category), (0, 0, 1, 2)), category, spoken)
    for amount in range(1, 10):
        yield _task("add", "numbers", shifted(amount), str(amount))
        yield _task("subtract", "numbers", shifted(-amount), str(amount))
    yield _task("largest", "numbers", extreme(max))
    yield _task("smallest", "numbers", extreme(min))


TASKS: dict[str, Task] = {task.name: task for task in _all_tasks()}

FAMILIES: dict[str, tuple[Task, ...]] = {}
for _entry in TASKS.values():
    FAMILIES[_entry.family] = (*FAMILIES.get(_entry.family, ()), _entry)
