"""The task suite: how many tasks, right answers, formal and English prompts."""

from __future__ import annotations

from random import Random

import pytest

from inference_worker.testbed.lexicon import CATEGORIES, NOUNS, PLURALS, all_words
from inference_worker.testbed.tasks import FAMILIES, NAMED, READABLE, TASKS

ORACLES = {
    "reverse": lambda words: list(reversed(words)),
    "swap-ends": lambda words: [words[-1], *words[1:-1], words[0]],
    "rotate-left": lambda words: words[1:] + words[:1],
    "second": lambda words: [words[1]],
    "append-stop": lambda words: [*words, "stop"],
    "prepend-gold": lambda words: ["gold", *words],
    "between-star": lambda words: " star ".join(words).split(),
    "rotate-right": lambda words: words[-1:] + words[:-1],
    "swap-first": lambda words: [words[1], words[0], *words[2:]],
    "second-last": lambda words: [words[len(words) - 2]],
    "ends": lambda words: [words[0], words[len(words) - 1]],
    "repeat": lambda words: words * 2,
    "double": lambda words: " ".join(f"{word} {word}" for word in words).split(),
    "after-each-bell": lambda words: f"{' bell '.join(words)} bell".split(),
    "insert-second-moon": lambda words: [words[0], "moon", *words[1:]],
    "before-last-sand": lambda words: [*words[: len(words) - 1], "sand", words[-1]],
    "wrap-iron": lambda words: ["iron", *words, "iron"],
    "replace-last-fire": lambda words: [*words[:-1], "fire"],
    "keep-animal": lambda words: [w for w in words if w in CATEGORIES["animal"]],
    "drop-fruit": lambda words: [w for w in words if w not in CATEGORIES["fruit"]],
    "find-tool": lambda words: [next(w for w in words if w in CATEGORIES["tool"])],
    "has-job": lambda words: ["yes" if set(words) & set(CATEGORIES["job"]) else "no"],
    "parity": lambda words: ["odd" if w[-1] in "13579" else "even" for w in words],
    "length": lambda words: [str(sum(1 for _ in w)) for w in words],
    "twice": lambda words: [str(int(w) + int(w)) for w in words],
    "add-3": lambda words: [str(int(w) + 3) for w in words],
    "subtract-5": lambda words: [str(int(w) - 5) for w in words],
    "largest": lambda words: [str(max(map(int, words)))],
    "smallest": lambda words: [str(min(map(int, words)))],
}


@pytest.mark.parametrize("name", ORACLES)
def test_answers_agree_with_a_second_way_to_find_them(name: str) -> None:
    rng = Random(5)
    for length in (2, 3, 4, 5, 6) * 20:
        given, answer = TASKS[name].sample(rng, length)
        assert answer.split() == ORACLES[name](given.split())
        assert answer


@pytest.mark.parametrize(
    ("name", "word", "image"),
    [
        ("plural", "mouse", "mice"),
        ("plural", "berry", "berries"),
        ("plural", "bush", "bushes"),
        ("singular", "wolves", "wolf"),
        ("past", "teach", "taught"),
        ("gerund", "swim", "swimming"),
        ("comparative", "bad", "worse"),
        ("opposite", "shallow", "deep"),
        ("capital", "Norway", "Oslo"),
        ("language", "Angola", "Portuguese"),
        ("category", "violin", "instrument"),
        ("young", "swan", "cygnet"),
        ("initial", "Norway", "n"),
        ("third-person", "carry", "carries"),
        ("third-person", "teach", "teaches"),
        ("superlative", "heavy", "heaviest"),
        ("superlative", "bad", "worst"),
        ("adverb", "happy", "happily"),
        ("infinitive", "taught", "teach"),
        ("positive", "better", "good"),
        ("country", "Oslo", "Norway"),
        ("currency", "Poland", "zloty"),
        ("next-month", "December", "January"),
        ("previous-day", "Monday", "Sunday"),
        ("next-letter", "y", "z"),
        ("previous-letter", "z", "y"),
        ("number-name", "40", "forty"),
        ("digits", "twelve", "12"),
        ("grown", "kitten", "cat"),
    ],
)
def test_maps_hold_known_pairs(name: str, word: str, image: str) -> None:
    rng, found = Random(1), {}
    for _ in range(1500):
        given, answer = TASKS[name].sample(rng, 4)
        found |= dict(zip(given.split(), answer.split(), strict=True))
    assert found[word] == image


def test_nouns_stand_in_one_category_and_have_their_own_plural() -> None:
    assert len(NOUNS) == len(set(NOUNS)) == len(set(PLURALS.values()))


def test_every_word_is_one_word_of_letters_or_digits() -> None:
    assert all(word.isalpha() or word.isdigit() for word in all_words())


def test_the_suite_is_large_enough() -> None:
    assert len(TASKS) >= 400
    assert len(NAMED) == len({task.name for task in NAMED}) >= 48
    assert len({task.cluster for task in NAMED}) >= 8
    assert len({task.formal for task in TASKS.values()}) == len(TASKS)


def test_about_half_of_the_families_are_readable_and_none_of_the_named() -> None:
    assert set(FAMILIES) >= READABLE
    assert 0.4 <= len(READABLE) / len(FAMILIES) <= 0.6
    assert {task.family for task in NAMED} == set(FAMILIES) - READABLE


def test_every_task_samples_the_same_from_one_seed() -> None:
    for name, task in TASKS.items():
        for length in (2, 3, 5):
            drawn = [task.natural_example(Random(f"{name}:{length}"), length) for _ in range(2)]
            assert drawn[0] == drawn[1], name
            assert drawn[0].answer, name


def test_prompts_have_one_skeleton() -> None:
    task, rng = TASKS["keep-animal"], Random(3)
    formal, english = task.formal_example(rng, 4), task.natural_example(rng, 4)
    assert formal.prompt.startswith("keep: animal\nInput: ")
    assert english.prompt.startswith("Instruction: ")
    assert english.prompt.count("\nInput: ") == 1
    assert english.text.endswith("\nOutput:")
