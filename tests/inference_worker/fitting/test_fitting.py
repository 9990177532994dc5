"""Weights found from examples: the mix computes the exact sum, and searching or learning lowers the held-out loss."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from inference_worker.adapter_format.reader import AdapterReader, open_directory
from inference_worker.contracts.common import BaseFiles
from inference_worker.contracts.merge_output import MergeOutput
from inference_worker.errors import BadInput, Refused
from inference_worker.evaluation.suite import Example, Suite
from inference_worker.fitting import Answers, Fitted, WeightedSum, learn_weights, read_answers, search_weights
from inference_worker.fitting.examples import IGNORED, split
from inference_worker.merging import merge_adapters
from inference_worker.serving.base_loader import LoadedBase, load_base
from inference_worker.serving.settings import EngineSettings
from inference_worker.testbed.cards import PROMPT_FORMAT
from inference_worker.testbed.manifest import SHIPPED

NAMES = ("plural-nouns", "opposites", "past-tense")


@pytest.fixture(scope="module")
def base() -> LoadedBase:
    torch.set_num_threads(1)
    files = BaseFiles(name="wordsmith-v1", source=str(SHIPPED / "base"))
    return load_base(files, EngineSettings(device="cpu", dtype="float32"))


@pytest.fixture(scope="module")
def readers() -> Iterator[list[AdapterReader]]:
    opened = [open_directory(SHIPPED / "adapters" / name) for name in NAMES]
    yield opened
    for reader in opened:
        reader.close()


def own_suite(name: str) -> Suite:
    meta = json.loads((SHIPPED / "adapters" / name / "meta.json").read_text("utf-8"))
    examples = tuple(Example(item["prompt"], (item["expected"],)) for item in meta["examples"])
    return Suite(name, examples, PROMPT_FORMAT)


def answers_of(base: LoadedBase, *names: str) -> tuple[Answers, list[int]]:
    return read_answers(base.tokenizer, [own_suite(name) for name in names], base.device, base.context)


def test_a_mix_computes_the_exact_sum_and_leaves_the_base_as_it_was(
    base: LoadedBase, readers: list[AdapterReader], tmp_path: Path
) -> None:
    weights = [0.7, -0.4, 1.2]
    answers, _ = answers_of(base, *NAMES)
    bare = base.model(input_ids=answers.ids, attention_mask=answers.mask).logits
    with WeightedSum(base.layers, readers) as mixed, torch.no_grad():
        mixed.set(torch.tensor(weights))
        found = base.model(input_ids=answers.ids, attention_mask=answers.mask).logits
    merge_adapters(readers, weights, "cat", tmp_path, dtype="float32")
    plain = AutoModelForCausalLM.from_pretrained(SHIPPED / "base", dtype=torch.float32)
    with torch.no_grad():
        wanted = PeftModel.from_pretrained(plain, str(tmp_path))(
            input_ids=answers.ids, attention_mask=answers.mask
        ).logits
    real = answers.mask.bool()
    assert (found - wanted)[real].abs().max() < 2e-3
    assert not torch.allclose(found[real], bare[real], atol=0.1)
    again = base.model(input_ids=answers.ids, attention_mask=answers.mask).logits
    assert torch.equal(again, bare)


def test_labels_stand_where_the_answer_is_predicted(base: LoadedBase) -> None:
    answers, owners = answers_of(base, "plural-nouns")
    row = 0
    learnt = answers.labels[row][answers.labels[row] != IGNORED]
    text = base.tokenizer.decode(learnt[:-1])
    assert text == " " + own_suite("plural-nouns").examples[0].expected[0]
    assert int(learnt[-1]) == base.tokenizer.eos_token_id
    # The label of a place is the token of the next one.
    places = (answers.labels[row] != IGNORED).nonzero()[:-1, 0]
    assert torch.equal(answers.ids[row, places + 1], answers.labels[row, places])
    assert owners == [0] * len(answers)


def test_the_search_finds_the_adapter_that_knows_the_task(base: LoadedBase, readers: list[AdapterReader]) -> None:
    answers, owners = answers_of(base, "opposites")
    with WeightedSum(base.layers, readers) as mixed:
        found = search_weights(base.model, mixed, answers, owners, start=[0.0, 0.0, 0.0], evaluations=40, seed=3)
        same = search_weights(base.model, mixed, answers, owners, start=[0.0, 0.0, 0.0], evaluations=40, seed=3)
    assert found == same
    weights = found.weights[0]
    assert set(found.weights.values()) == {weights}
    assert weights[1] == max(weights, key=abs)
    assert weights[1] > 0.4
    assert found.held_start is not None
    assert found.held_end is not None
    assert found.held_end < 0.5 * found.held_start
    assert found.rounds >= 40
    assert list(found.course) == sorted(found.course, reverse=True)


def test_the_search_keeps_what_was_given_where_nothing_is_better(
    base: LoadedBase, readers: list[AdapterReader]
) -> None:
    answers, owners = answers_of(base, "opposites")
    with WeightedSum(base.layers, readers[1:2]) as mixed:
        found = search_weights(base.model, mixed, answers, owners, start=[1.0], evaluations=12, shrinkage=0.0)
    assert found.fit_end <= found.fit_start


def test_learning_lowers_the_held_out_loss_and_differs_by_layer(base: LoadedBase, readers: list[AdapterReader]) -> None:
    answers, owners = answers_of(base, "plural-nouns", "opposites")
    with WeightedSum(base.layers, readers[:2]) as mixed:
        start = [0.5, 0.5]
        found = learn_weights(base.model, mixed, answers, owners, start=start, steps=10, rate=0.1, seed=1)
        same = learn_weights(base.model, mixed, answers, owners, start=start, steps=10, rate=0.1, seed=1)
        nothing = learn_weights(base.model, mixed, answers, owners, start=start, steps=1, rate=0.0)
    assert found == same
    assert found.held_start is not None
    assert found.held_end is not None
    assert found.held_end < found.held_start
    assert len(found.weights) == base.model.config.num_hidden_layers
    assert len(set(found.weights.values())) > 1
    assert set(nothing.weights.values()) == {(0.5, 0.5)}
    assert all(parameter.grad is None for parameter in base.model.parameters())


def test_too_few_and_too_long_examples_are_said(base: LoadedBase) -> None:
    short = Suite("short", own_suite("opposites").examples[:3], PROMPT_FORMAT)
    with pytest.raises(BadInput, match="at least 4 examples"):
        read_answers(base.tokenizer, [short], base.device, base.context)
    with pytest.raises(BadInput, match="longer than the base's 20 tokens"):
        read_answers(base.tokenizer, [own_suite("opposites")], base.device, 20)


def test_modules_that_the_base_lacks_are_named(base: LoadedBase, readers: list[AdapterReader]) -> None:
    missing = readers[0].modules.keys()
    layers = {name: layer for name, layer in base.layers.items() if name != sorted(missing)[0]}
    with pytest.raises(BadInput, match=f"plural-nouns changes {sorted(missing)[0]}"):
        WeightedSum(layers, readers)


def test_stabilised_ranks_are_weighed_and_what_is_no_sum_is_refused(base: LoadedBase) -> None:
    features = {}
    for folder in sorted((SHIPPED / "adapters").iterdir()):
        with open_directory(folder) as reader:
            features.setdefault(reader.features, folder)
    assert ("rslora",) in features
    for found, folder in features.items():
        with open_directory(folder) as reader:
            if "dora" in found:
                with pytest.raises(Refused, match=f"{folder.name} cannot be weighed by examples.*dora"):
                    WeightedSum(base.layers, [reader])
            else:
                with WeightedSum(base.layers, [reader]) as mixed:
                    assert mixed.names == list(reader.modules)


@pytest.mark.parametrize("share", [0.0, 0.25, 0.9])
def test_every_suite_is_split(share: float) -> None:
    fit, held = split([0] * 10 + [1] * 3 + [2], share, 5)
    assert sorted(fit + held) == list(range(14))
    assert {0, 1, 2} == {0 if row < 10 else 1 if row < 13 else 2 for row in fit}
    assert 13 in fit
    assert {row for row in held if row >= 10} < {10, 11, 12}
    assert len(held) == {0.0: 0, 0.25: 3, 0.9: 11}[share]


def test_suites_of_one_row_are_split_together() -> None:
    fit, held = split([0, 1, 2, 3], 0.25, 5)
    assert (len(fit), len(held)) == (3, 1)
    fit, held = split([0, 0, 0, 1, 2], 0.25, 5)
    assert len(set(held) & {3, 4}) == 1


@pytest.mark.parametrize("method", [search_weights, learn_weights])
def test_no_loss_is_called_held_out_where_nothing_was(
    base: LoadedBase, readers: list[AdapterReader], method: Callable[..., Fitted]
) -> None:
    answers, owners = answers_of(base, "opposites")
    few = {"evaluations": 8} if method is search_weights else {"steps": 2}
    with WeightedSum(base.layers, readers[1:2]) as mixed:
        found = method(base.model, mixed, answers, owners, start=[0.5], held_out=0.0, **few)
    assert (found.held_start, found.held_end) == (None, None)
    assert found.fit_end < found.fit_start


def test_only_modules_of_the_output_take_part(base: LoadedBase, readers: list[AdapterReader]) -> None:
    output = MergeOutput(include=("0-1",), exclude=("q_proj",))
    with WeightedSum(base.layers, readers, output) as mixed:
        assert mixed.groups == [0, 1]
        assert not any("q_proj" in name for name in mixed.names)
        hooked = {name for name, layer in base.layers.items() if layer._forward_hooks}
        assert hooked == set(mixed.names)
        assert (mixed.selectors(0, 1), mixed.selectors(0, 2)) == (["1"], [])
    with pytest.raises(BadInput, match="Nothing is left"):
        WeightedSum(base.layers, readers, MergeOutput(include=("0",), exclude=("0",)))
