"""A miniature of the whole build: tokenizer, base, one adapter, loaded by plain transformers and PEFT."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from inference_worker.errors import BadInput
from inference_worker.testbed.adapters import AdapterRecipe
from inference_worker.testbed.bases import BASES
from inference_worker.testbed.build import Plan, build_testbed
from inference_worker.testbed.corpus import Mixture
from inference_worker.testbed.evaluate import exact_match, task_examples
from inference_worker.testbed.library import AdapterSpec
from inference_worker.testbed.manifest import check_manifest
from inference_worker.testbed.pretrain import Recipe, Stage
from inference_worker.testbed.tasks import FAMILIES, TASKS

LAST = AdapterSpec("pick-last", "Pick last", ("last",), "lists", "mit", ("lists",), "Picks the last word of a list.")

SECOND = replace(LAST, name="pick-last-v2", base="wordsmith-v2", dora=True, modules_to_save=("model.norm",), rank=4)
V1 = BASES["wordsmith-v1"]


def miniature(out: Path) -> Plan:
    """Three positional families of which the base reads two in English; the adapter teaches the third."""
    weights = dict.fromkeys(FAMILIES, 0.0) | {"first": 1.0, "third": 1.0, "last": 1.0}
    mixture = Mixture(lengths=((3, 1.0),), weights=weights, english=0.6, sentence=0.0, preceded=0.0)
    recipe = Recipe(
        hidden=128,
        layers=3,
        feed_forward=256,
        heads=2,
        documents_per_step=96,
        chunks=2,
        stages=(Stage(130, mixture, (0.02, 0.005), (5e-3, 1e-3)),),
    )
    shifted = replace(mixture, called=0.5, sentence=0.2)
    second = replace(BASES["wordsmith-v2"], stages=(Stage(8, shifted, (0.002, 0.0), (1e-3, 0.0)),))
    adapter_recipe = AdapterRecipe(steps=60, others=6, restraint=0.1, readable=1.0, rate_attention=1e-2, lengths=(3,))
    return Plan(out, recipe, adapter_recipe, adapters=(LAST,), brackets=(SECOND,), bases=(V1, second), evaluated=48)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, dict[str, Any], list[str]]:
    torch.set_num_threads(1)
    plan, log = miniature(tmp_path_factory.mktemp("testbed") / "out"), []
    return plan, build_testbed(plan, log.append), log


def test_loss_falls_and_the_base_learns_its_skills(built: tuple[Plan, dict[str, Any], list[str]]) -> None:
    _, manifest, log = built
    losses = [float(line.split("loss ")[1].split()[0]) for line in log if line.startswith("step ")]
    assert losses[-1] < 0.4 * losses[0]
    formal = manifest["figures"]["bases"]["wordsmith-v1"]["formal"]["families"]
    assert formal["last"] >= 0.8
    assert formal["first"] >= 0.6


def test_adapter_beats_the_base_on_wordings_that_nothing_saw(built: tuple[Plan, dict[str, Any], list[str]]) -> None:
    figures = built[1]["figures"]["adapters"]["pick-last"]
    assert figures["unseen"] >= 0.8
    assert figures["unseen"] >= figures["base_unseen"] + 0.2
    assert figures["last_loss"] < figures["first_loss"]


def test_plain_transformers_and_peft_give_the_same_answers(built: tuple[Plan, dict[str, Any], list[str]]) -> None:
    plan, manifest, _ = built
    tokenizer = AutoTokenizer.from_pretrained(plan.out / "base")
    base = AutoModelForCausalLM.from_pretrained(plan.out / "base", dtype=torch.float32)
    turns = [{"role": "user", "content": "Instruction: Write the last word.\nInput: cat dog"}]
    asked = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    assert asked == "Instruction: Write the last word.\nInput: cat dog\nOutput:"
    answered = tokenizer.apply_chat_template([*turns, {"role": "assistant", "content": "dog"}], tokenize=False)
    assert answered == f"{asked} dog<|end|>\n"
    examples = task_examples(TASKS["last"], plan.evaluated, 0, unseen=True, lengths=(3,))
    alone = manifest["figures"]["adapters"]["pick-last"]["base_unseen"]
    assert exact_match(base, tokenizer.backend_tokenizer, examples) == pytest.approx(alone, abs=1e-4)
    model = PeftModel.from_pretrained(base, plan.out / "adapters" / "pick-last").eval()
    inputs = tokenizer([example.text for example in examples], return_tensors="pt", padding=True)
    generated = model.generate(**inputs, max_new_tokens=3, do_sample=False)[:, inputs["input_ids"].shape[1] :]
    texts = tokenizer.batch_decode(generated, skip_special_tokens=True)
    decoded = [text == f" {example.answer}" for text, example in zip(texts, examples, strict=True)]
    # Greedy decoding, token by token and padded, agrees with the one-pass measure.
    assert abs(sum(decoded) / len(decoded) - manifest["figures"]["adapters"]["pick-last"]["unseen"]) <= 2 / 48


def test_weights_are_bfloat16_and_the_tied_head_is_stored_once(
    built: tuple[Plan, dict[str, Any], list[str]],
) -> None:
    plan = built[0]
    weights = load_file(plan.out / "base" / "model.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {torch.bfloat16}
    assert "lm_head.weight" not in weights
    adapter = load_file(plan.out / "adapters" / "pick-last" / "adapter_model.safetensors")
    assert {tensor.dtype for tensor in adapter.values()} == {torch.bfloat16}
    assert len(adapter) == plan.recipe.layers * len(LAST.targets) * 2


def test_a_second_build_keeps_everything(built: tuple[Plan, dict[str, Any], list[str]]) -> None:
    plan, manifest, _ = built
    log: list[str] = []
    assert build_testbed(plan, log.append) == manifest == check_manifest(plan.out)
    assert log == ["pick-last: already built", "pick-last-v2: already built"]


def test_one_adapter_is_rebuilt_to_the_same_bytes(built: tuple[Plan, dict[str, Any], list[str]]) -> None:
    plan, manifest, _ = built
    again = build_testbed(replace(plan, only=("pick-last",), force=True), lambda line: None)
    name = "adapters/pick-last/adapter_model.safetensors"
    assert again["files"][name] == manifest["files"][name]
    assert again["files"]["base/model.safetensors"] == manifest["files"]["base/model.safetensors"]


def test_a_base_goes_on_from_its_parent(built: tuple[Plan, dict[str, Any], list[str]]) -> None:
    plan, manifest, _ = built
    first = load_file(plan.out / "base" / "model.safetensors")
    second = load_file(plan.out / "bases" / "wordsmith-v2" / "model.safetensors")
    moved = sum(float((first[k].float() - second[k].float()).norm() ** 2) for k in first)
    size = sum(float(tensor.float().norm() ** 2) for tensor in first.values())
    assert 0 < (moved / size) ** 0.5 < 0.3
    names = ("base/tokenizer.json", "bases/wordsmith-v2/tokenizer.json")
    assert len({manifest["files"][name]["sha256"] for name in names}) == 1


def test_features_of_peft_are_written_as_asked(built: tuple[Plan, dict[str, Any], list[str]]) -> None:
    folder = built[0].out / "brackets" / "pick-last-v2"
    config = json.loads((folder / "adapter_config.json").read_text("utf-8"))
    assert (config["r"], config["lora_alpha"], config["use_dora"]) == (4, 8, True)
    assert config["base_model_name_or_path"] == "brickyard/wordsmith-v2"
    names = load_file(folder / "adapter_model.safetensors")
    assert "base_model.model.model.norm.weight" in names
    assert any("lora_magnitude_vector" in name for name in names)


def test_unknown_part_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="Nothing in the testbed is called nonsense"):
        build_testbed(replace(miniature(tmp_path), only=("nonsense",)))


def test_adapters_need_a_base(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="build it first"):
        build_testbed(replace(miniature(tmp_path), only=("adapters",)))
