"""Clean words occur in no English task example of any training: in no input, in no answer, in no form."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from random import Random

import pytest

from inference_worker.testbed.adapters import AdapterRecipe, other_examples
from inference_worker.testbed.bases import BASES
from inference_worker.testbed.corpus import documents
from inference_worker.testbed.library import ADAPTERS, BRACKETS
from inference_worker.testbed.pretrain import Recipe
from inference_worker.testbed.tasks import NAMED, TASKS, Example, Task
from inference_worker.testbed.tasks.clean import CLOSED, ENOUGH, SEQUENCES, clean_words, forms_of, is_clean
from inference_worker.testbed.tasks.samplers import POOL
from inference_worker.testbed.tasks.words import is_held_out

MEASURED = [task for task in NAMED if clean_words(task)]


def words_of(examples: Iterator[Example]) -> tuple[set[str], set[str]]:
    """Words of inputs and of answers."""
    asked: set[str] = set()
    answered: set[str] = set()
    for example in examples:
        asked.update(example.text.split("\nInput: ")[1].removesuffix("\nOutput:").split())
        answered.update(example.answer.split())
    return asked, answered


def adapter_examples() -> Iterator[Example]:
    recipe, rng = AdapterRecipe(), Random(3)
    for task in NAMED:
        for _ in range(2000):
            given, answer = task.sample(rng, 4, "known")
            yield Example(f"Instruction: …\nInput: {given}", answer)
    for spec in (*ADAPTERS, *BRACKETS):
        yield from other_examples(spec, recipe, rng)


def base_examples() -> Iterator[Example]:
    """English documents of every stage of every base; the sentence that a few have first is taken away."""
    mixtures = [stage.mixture for base in BASES.values() for stage in base.recipe(Recipe()).stages]
    for number, mixture in enumerate(mixtures):
        for text, answer in documents(Random(number), 800, mixture):
            if "Instruction: " in text:
                yield Example(text[text.index("Instruction: ") :].removesuffix("\nOutput:"), answer.strip())


@cache
def training() -> tuple[set[str], set[str]]:
    own, base = words_of(adapter_examples()), words_of(base_examples())
    return own[0] | base[0], own[1] | base[1]


def entries(task: Task) -> list[tuple[str, str]]:
    return [(word, task.sampler.answers[word]) for word in clean_words(task)]


@pytest.mark.parametrize("task", MEASURED, ids=lambda task: task.name)
def test_no_training_shows_a_clean_word_its_answer_or_a_form_of_them(task: Task) -> None:
    asked, answered = training()
    for word, answer in entries(task):
        assert word not in asked
        assert word in SEQUENCES or not forms_of(word) & (asked | answered)
        assert answer in CLOSED or not forms_of(answer) & (asked | answered)


@pytest.mark.parametrize("task", MEASURED, ids=lambda task: task.name)
def test_what_is_measured_on_asks_about_clean_words_alone(task: Task) -> None:
    rng, clean = Random(task.name), clean_words(task)
    asked = [task.sample(rng, 4, clean)[0].split() for _ in range(50)]
    assert {word for words in asked for word in words} <= clean
    assert all(len(set(words)) == 4 for words in asked)


def test_held_out_words_alone_would_not_be_enough() -> None:
    """“Held out” looks at inputs: such words do stand in answers of the same training."""
    _, answered = words_of(TASKS["opposite"].natural_example(Random(n), 4) for n in range(300))
    assert any(is_held_out(word) for word in answered)
    held_out = [word for word in TASKS["opposite"].sampler.answers if is_held_out(word)]
    assert held_out
    assert not any(is_clean(word, TASKS["opposite"].sampler.answers[word]) for word in held_out)


def test_tasks_with_too_few_clean_words_are_not_measured_on_them() -> None:
    assert {len(clean_words(task)) for task in NAMED} & set(range(1, ENOUGH)) == set()
    assert {"previous-day", "next-month", "opposite", "keep-job"} <= {t.name for t in NAMED} - {
        t.name for t in MEASURED
    }
    assert {"plural", "past", "reverse", "add-3"} <= {task.name for task in MEASURED}


def test_two_words_stand_twice_in_the_pool_of_lists() -> None:
    """Every other word of a list is drawn once; taking these two out would change what every seed draws."""
    assert {word for word in POOL if POOL.count(word) > 1} == {"clean", "love"}
    for task in TASKS.values():
        for pool in task.sampler.pools:
            assert pool is POOL or len(set(pool)) == len(pool)
