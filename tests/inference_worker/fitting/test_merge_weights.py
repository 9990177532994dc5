"""Merges whose weights are found from examples: the job, the command, the recipe that needs no examples again."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from inference_worker.__main__ import main
from inference_worker.blobs import BlobStore
from inference_worker.contracts.common import AdapterFiles, BaseFiles
from inference_worker.contracts.merge import MergeRequest, MergeResult
from inference_worker.contracts.merge_fit import FitExample, FitGroup, MergeFit
from inference_worker.contracts.merge_output import factor_of
from inference_worker.contracts.merge_recipe import parse_recipe
from inference_worker.evaluation.builtin import PROMPT_FORMAT, builtin_suite
from inference_worker.tasks.context import JobContext
from inference_worker.tasks.kinds import run_handler
from inference_worker.testbed.manifest import SHIPPED

NAMES = ("opposites", "plural-nouns")
OPTIONS = {"lorahub": {"evaluations": 30}, "lora_soup": {"steps": 8, "rate": 0.1}}


@pytest.fixture
def context(tmp_path: Path) -> Iterator[JobContext]:
    read, write = os.pipe()
    os.set_blocking(read, False)
    (tmp_path / "work").mkdir()
    yield JobContext(BlobStore(f"file://{tmp_path / 'blobs'}"), tmp_path / "work", "", write, job="j1")
    os.close(read)
    os.close(write)


def stored(context: JobContext, name: str) -> AdapterFiles:
    folder = SHIPPED / "adapters" / name
    config = context.blobs.put_file(folder / "adapter_config.json").sha256
    weights = context.blobs.put_file(folder / "adapter_model.safetensors").sha256
    return AdapterFiles(label=name, config=config, weights=weights)


def group(name: str) -> FitGroup:
    examples = builtin_suite(f"testbed:{name}", count=16).examples
    rows = tuple(FitExample(prompt=one.prompt, expected=one.expected[0]) for one in examples)
    return FitGroup(name=name, prompt_format=PROMPT_FORMAT, examples=rows)


@pytest.mark.parametrize("method", sorted(OPTIONS))
def test_a_job_finds_weights_and_its_recipe_needs_no_examples(context: JobContext, tmp_path: Path, method: str) -> None:
    request = MergeRequest(
        adapters=tuple(stored(context, name) for name in NAMES),
        weights=(0.2, 0.2),
        method=method,
        options=OPTIONS[method],
        fit=MergeFit(base=BaseFiles(name="wordsmith", source=str(SHIPPED / "base")), groups=(group("opposite"),)),
    )
    result = run_handler("merge", request.model_dump(mode="json"), context)
    assert isinstance(result, MergeResult)
    assert result.found is not None
    assert result.found.held_start is not None
    assert result.found.held_end is not None
    assert result.found.held_end < result.found.held_start
    recipe = parse_recipe(result.recipe)
    knows, other = (
        [parent.weight * factor_of(parent.layer_weights, f"layers.{layer}.self_attn.q_proj") for layer in range(5)]
        for parent in recipe.parents
    )
    assert sum(knows) > sum(other)
    assert sum(knows) > 5 * 0.2
    out = tmp_path / "again"
    written = tmp_path / "recipe.json"
    written.write_text(json.dumps(result.recipe), "utf-8")
    folders = [str(SHIPPED / "adapters" / name) for name in NAMES]
    assert main(["merge", "--recipe", str(written), "--out", str(out), *folders]) == 0
    first = {file.path: file.sha256 for file in result.files}
    assert (
        context.blobs.path(first["adapter_model.safetensors"]).read_bytes()
        == (out / "adapter_model.safetensors").read_bytes()
    )


def test_the_command_asks_for_base_and_examples(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, out = str(SHIPPED / "adapters" / "opposites"), str(tmp_path / "out")
    assert main(["merge", "--method", "lorahub", "--out", out, folder]) == 3
    assert "give --base and --examples" in capsys.readouterr().err
    assert main(["merge", "--method", "lorahub", "--layer-weights", "0:2", "--out", out, folder]) == 3
    assert "leave --layer-weights out" in capsys.readouterr().err
    base = ["--base", str(SHIPPED / "base")]
    assert main(["merge", "--method", "svd", *base, "--examples", "testbed:plural", "--out", out, folder]) == 3
    assert "leave --base and --examples out" in capsys.readouterr().err
    command = ["merge", "--method", "lorahub", *base, "--examples", "testbed:opposite", "--option", "evaluations=8"]
    assert main([*command, "--out", out, folder]) == 0
    assert "loss on held-out examples" in capsys.readouterr().err
    command[2] = "lora_soup"
    assert main([*command[:-2], "--rank", "inertia:0.9", "--out", out, folder]) == 3
    assert "no clusters" in capsys.readouterr().err
    assert (Path(out) / "adapter_model.safetensors").exists()
