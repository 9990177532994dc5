"""What is held out stays out of every training: words, parameters, wordings, and compositions of two tasks."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from random import Random

import pytest

from inference_worker.testbed.adapters import AdapterRecipe, other_examples, own_examples
from inference_worker.testbed.bases import BASES
from inference_worker.testbed.corpus import documents
from inference_worker.testbed.lexicon import DAYS, all_words
from inference_worker.testbed.library import ADAPTERS, BRACKETS
from inference_worker.testbed.pretrain import Recipe
from inference_worker.testbed.tasks import COMPOSITIONS, FAMILIES, NAMED, READABLE, TASKS, Example, Task
from inference_worker.testbed.tasks.task import FRAMES
from inference_worker.testbed.tasks.wording import WORDINGS, expansions
from inference_worker.testbed.tasks.words import SPARED, draw, is_held_out, split


@cache
def all_expansions(templates: tuple[str, ...]) -> frozenset[str]:
    return frozenset(text for template in templates for text in expansions(template))


def spoken(task: Task, unseen: bool = False) -> set[str]:
    """Every wording of the task; the templates are expanded once for each family."""
    texts = all_expansions(task.wording.unseen if unseen else task.wording.seen)
    return {text.replace("{p}", task.spoken) for text in texts}


def base_prompts() -> list[str]:
    """English prompts of every stage of every base."""
    mixtures = [stage.mixture for base in BASES.values() for stage in base.recipe(Recipe()).stages]
    texts = [text for i, mixture in enumerate(mixtures) for text, _ in documents(Random(i), 800, mixture)]
    return [text[text.index("Instruction: ") :] for text in texts if "Instruction: " in text]


def adapter_prompts() -> list[str]:
    recipe, rng = AdapterRecipe(), Random(7)
    examples: list[Example] = []
    for spec in (*ADAPTERS, *BRACKETS):
        examples += own_examples(spec, recipe, rng) + other_examples(spec, recipe, rng)
    return [example.text for example in examples]


@pytest.fixture(scope="module", params=[base_prompts, adapter_prompts])
def training(request: pytest.FixtureRequest) -> list[tuple[str, list[str]]]:
    """(wording, input words) of what is trained on; the frame around the wording is taken away."""
    prompts = [re.fullmatch(r"Instruction: (.*)\nInput: (.*)\nOutput:", text) for text in request.param()]
    assert len(prompts) > 1000
    assert all(prompts)
    return [(unframed(match[1]), match[2].split()) for match in prompts if match]


FRAME_PATTERNS = [re.compile(re.escape(frame).replace(r"\{x\}", "(.*)").replace(r"\{X\}", "(.*)")) for frame in FRAMES]


def unframed(sentence: str) -> str:
    """The shortest wording that one of the frames makes into ``sentence``, in small letters at its start."""
    matches = [match[1] for pattern in FRAME_PATTERNS if (match := pattern.fullmatch(sentence))]
    wording = min([*matches, sentence], key=len)
    return wording[0].lower() + wording[1:]


SEEN = {text for task in TASKS.values() if not task.held_out for text in spoken(task)}
UNSEEN = {text for task in TASKS.values() for text in spoken(task, unseen=True)}


def small(texts: set[str]) -> set[str]:
    return {text[0].lower() + text[1:] for text in texts}


def test_only_seen_wordings_of_trained_parameters_are_trained(training: list[tuple[str, list[str]]]) -> None:
    wordings = {wording for wording, _ in training}
    assert not wordings - small(SEEN)
    assert not wordings & small(UNSEEN)


def test_held_out_words_are_in_no_training_input(training: list[tuple[str, list[str]]]) -> None:
    given = {word for _, words in training for word in words}
    # There are only seven days of the week: none can be spared.
    assert not {word for word in given - set(DAYS) if is_held_out(word)}


def test_the_base_is_trained_in_english_on_readable_families_alone() -> None:
    readable = small({t for task in TASKS.values() if task.readable for t in spoken(task)})
    assert not {unframed(prompt[len("Instruction: ") :].split("\n")[0]) for prompt in base_prompts()} - readable


def test_compositions_are_in_no_training(training: list[tuple[str, list[str]]]) -> None:
    rng, names = Random(1), sorted(COMPOSITIONS)
    composed = {unframed(COMPOSITIONS[rng.choice(names)].instruction(rng)) for _ in range(500)}
    assert not composed & ({wording for wording, _ in training} | small(SEEN) | small(UNSEEN))


def test_seen_and_unseen_wordings_are_disjoint_and_enough() -> None:
    for family, wording in WORDINGS.items():
        assert not all_expansions(wording.seen) & all_expansions(wording.unseen), family
        assert len(wording.seen) + len(wording.unseen) >= 16, family
        assert len(wording.seen) >= 12, family
        assert len(wording.unseen) >= 4, family


def test_no_wording_means_two_families() -> None:
    owner: dict[str, str] = {}
    for family, tasks in FAMILIES.items():
        for task in tasks:
            for text in spoken(task) | spoken(task, unseen=True):
                assert owner.setdefault(text, family) == family, text


def test_unseen_wordings_use_words_that_were_read() -> None:
    """What is new about an unseen wording is the sentence: a word that no training ever showed would mean nothing."""

    def vocabulary(texts: Iterable[str]) -> set[str]:
        return {word for text in texts for word in re.findall(r"[a-z]+", text.lower())}

    read = vocabulary({t for family in READABLE for t in all_expansions(WORDINGS[family].seen)}) | set(all_words())
    for family, wording in WORDINGS.items():
        own = vocabulary(all_expansions(wording.seen))
        assert not vocabulary(all_expansions(wording.unseen)) - read - own, family


def test_parameters_are_held_out_in_every_kind_of_family_but_of_no_named_task() -> None:
    held_out = {task.family for task in TASKS.values() if task.held_out}
    assert held_out == {family for family, tasks in FAMILIES.items() if len(tasks) > 1}
    assert not any(task.held_out for task in NAMED)


def test_about_a_sixth_of_the_words_is_held_out() -> None:
    pool = tuple(sorted({word for task in TASKS.values() for word in task.sample(Random(task.name), 4)[0].split()}))
    known, fresh = split(pool)
    assert 0.1 < len(fresh) / len(pool) < 0.25
    assert set(pool) - set(known) - set(fresh) <= SPARED
    rng = Random(0)
    assert set(draw(rng, pool, 5, "fresh")) <= set(fresh)
    assert set(draw(rng, pool, 5, "known")) <= set(known)
    assert len(draw(rng, fresh[:2] + known, 5, "fresh")) == 5
