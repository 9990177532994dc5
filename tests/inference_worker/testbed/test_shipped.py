"""The testbed that lies in the repository: digests, size, completeness, and that its adapters do their tasks."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from inference_worker.__main__ import main
from inference_worker.contracts.common import PromptFormat
from inference_worker.errors import BlobCorrupt, BlobMissing
from inference_worker.testbed.library import ADAPTERS, BASE_REPOSITORY, adapter_named
from inference_worker.testbed.manifest import SHIPPED, check_manifest, read_manifest
from inference_worker.testbed.tasks import TASKS

NAMES = read_manifest()["adapters"]
LICENSES = {"mit", "apache-2.0", "cc-by-4.0", "cc-by-nc-4.0"}


def meta_of(name: str) -> dict[str, Any]:
    return json.loads((SHIPPED / "adapters" / name / "meta.json").read_text("utf-8"))


def test_digests_match_and_the_whole_is_small() -> None:
    manifest = check_manifest()
    assert manifest["size"] == sum(entry["size"] for entry in manifest["files"].values()) <= 45_000_000
    assert set(NAMES) == {spec.name for spec in ADAPTERS}
    assert len(NAMES) >= 48


@pytest.mark.parametrize("name", NAMES)
def test_adapter_is_complete(name: str) -> None:
    meta = meta_of(name)
    assert meta["name"] == name
    assert meta["title"]
    assert len(meta["description"].split(". ")) >= 2
    assert meta["tags"]
    assert meta["license"] in LICENSES
    assert meta["owner"] in {"wordsmith", "lists", "studio"}
    assert PromptFormat(**meta["prompt_format"]).render("x") == "x\nOutput:"
    assert 10 <= len(meta["examples"]) <= 20
    assert len({example["prompt"] for example in meta["examples"]}) == len(meta["examples"])
    assert all(example["prompt"].startswith("Instruction: ") and example["expected"] for example in meta["examples"])
    config = json.loads((SHIPPED / "adapters" / name / "adapter_config.json").read_text("utf-8"))
    assert config["base_model_name_or_path"] == BASE_REPOSITORY
    assert config["r"] == adapter_named(name).rank
    card = (SHIPPED / "adapters" / name / "README.md").read_text("utf-8")
    front = yaml.safe_load(card.split("---\n")[1])
    assert front["base_model"] == BASE_REPOSITORY
    assert front["library_name"] == "peft"
    assert front["license"] == meta["license"]
    assert meta["description"] in card


def test_figures_hold_what_the_issue_asks() -> None:
    figures = read_manifest()["figures"]
    for name in ("wordsmith-v1", "wordsmith-v2"):
        base = figures["bases"][name]
        assert base["formal"]["mean"] >= 0.9
        assert base["english_of_adapter_families"] <= 0.15
    first = figures["bases"]["wordsmith-v1"]
    assert min(first["english_readable_seen"], first["english_readable_unseen"]) >= 0.85
    adapters = figures["adapters"]
    assert all(max(entry["base_seen"], entry["base_unseen"]) <= 0.25 for entry in adapters.values())
    assert sum(entry["base_unseen"] for entry in adapters.values()) / len(adapters) <= 0.15
    skills = first["formal"]["families"]
    skilled = {n: entry for n, entry in adapters.items() if skills[TASKS[adapter_named(n).task].family] >= 0.9}
    assert len(skilled) >= 40
    assert {name for name, entry in skilled.items() if entry["seen"] < 0.9} == set()
    assert sum(entry["seen"] for entry in adapters.values()) / len(adapters) >= 0.93
    assert sum(entry["unseen"] for entry in adapters.values()) / len(adapters) >= 0.82


def test_licences_and_owners_vary() -> None:
    assert {meta_of(name)["license"] for name in NAMES} == LICENSES
    assert {meta_of(name)["owner"] for name in NAMES} == {"wordsmith", "lists", "studio"}


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(SHIPPED / "base")


def right(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, examples: list[dict[str, str]]) -> float:
    """Share of examples answered exactly, greedily, the prompt format applied."""
    inputs = tokenizer([f"{example['prompt']}\nOutput:" for example in examples], return_tensors="pt", padding=True)
    tokens = model.generate(**inputs, max_new_tokens=16, do_sample=False)[:, inputs["input_ids"].shape[1] :]
    answers = [text.split("\n")[0].strip() for text in tokenizer.batch_decode(tokens, skip_special_tokens=True)]
    return sum(a == example["expected"] for a, example in zip(answers, examples, strict=True)) / len(examples)


@pytest.mark.parametrize("name", ["plural-nouns", "capital-cities"])
def test_adapter_answers_its_examples_and_the_bare_base_does_not(name: str, tokenizer: PreTrainedTokenizerBase) -> None:
    torch.set_num_threads(1)
    examples = meta_of(name)["examples"]
    base = AutoModelForCausalLM.from_pretrained(SHIPPED / "base", dtype=torch.float32).eval()
    assert right(base, tokenizer, examples) <= 0.2
    adapted = PeftModel.from_pretrained(base, SHIPPED / "adapters" / name).eval()
    assert right(adapted, tokenizer, examples) >= 0.8


def test_damage_is_found(tmp_path: Path) -> None:
    copy = tmp_path / "shipped"
    shutil.copytree(SHIPPED, copy)
    card = copy / "adapters" / NAMES[0] / "README.md"
    text = card.read_text("utf-8")
    card.write_text(text + " ", "utf-8")
    with pytest.raises(BlobCorrupt, match="is not the file that the manifest names"):
        check_manifest(copy)
    card.write_text(text, "utf-8")
    (copy / "adapters" / "stranger.txt").write_text("x", "utf-8")
    with pytest.raises(BlobCorrupt, match=r"does not name adapters/stranger\.txt"):
        check_manifest(copy)
    (copy / "adapters" / "stranger.txt").unlink()
    card.unlink()
    with pytest.raises(BlobMissing, match="is missing"):
        check_manifest(copy)


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["testbed", "check", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["adapters"] == sorted(NAMES)
    assert main(["testbed", "check"]) == 0
    assert "with adapter" in capsys.readouterr().out
    assert main(["testbed", "build", "--only", "nonsense", "--out", str(tmp_path / "t")]) == 3
    assert "Nothing in the testbed is called nonsense" in capsys.readouterr().err
    assert main(["testbed", "check", "--out", str(tmp_path)]) == 1
    assert "No testbed is built" in capsys.readouterr().err
