"""The task suite: right answers, held-out wordings, formal and English prompts."""

from __future__ import annotations

from random import Random

import pytest

from inference_worker.testbed.lexicon import CATEGORIES, NOUNS, PLURALS, all_words
from inference_worker.testbed.library import ADAPTERS
from inference_worker.testbed.tasks import FAMILIES, READABLE, TASKS

ORACLES = {
    "reverse": lambda words: list(reversed(words)),
    "swap": lambda words: [words[-1], *words[1:-1], words[0]],
    "rotate": lambda words: words[1:] + words[:1],
    "second": lambda words: [words[1]],
    "append-stop": lambda words: [*words, "stop"],
    "prepend-gold": lambda words: ["gold", *words],
    "between-star": lambda words: " star ".join(words).split(),
    "keep-animal": lambda words: [w for w in words if w in CATEGORIES["animal"]],
    "drop-fruit": lambda words: [w for w in words if w not in CATEGORIES["fruit"]],
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


def test_seen_and_unseen_wordings_are_disjoint_and_enough() -> None:
    for task in TASKS.values():
        assert not set(task.seen) & set(task.unseen), task.name
        assert len(task.seen) >= 6, task.name
        assert task.unseen, task.name
    for spec in ADAPTERS:
        assert len(TASKS[spec.task].seen) + len(TASKS[spec.task].unseen) >= 16, spec.name


def test_no_wording_means_two_families() -> None:
    owner: dict[str, str] = {}
    for family, tasks in FAMILIES.items():
        for wording in {w for task in tasks for w in (*task.seen, *task.unseen)}:
            assert owner.setdefault(wording, family) == family, wording


def test_adapters_teach_only_families_that_the_base_does_not_read() -> None:
    assert {TASKS[spec.task].family for spec in ADAPTERS}.isdisjoint(READABLE)
    assert set(FAMILIES) >= READABLE
    assert 0.4 <= len(READABLE) / len(FAMILIES) <= 0.6


def test_prompts_have_one_skeleton() -> None:
    task, rng = TASKS["keep-animal"], Random(3)
    formal, english = task.formal_example(rng, 4), task.natural_example(rng, 4)
    assert formal.prompt.startswith("keep: animal\nInput: ")
    assert english.prompt.startswith("Instruction: ")
    assert english.prompt.count("\nInput: ") == 1
    assert english.text.endswith("\nOutput:")
