"""No build mixes seeds, recipes or bases unnoticed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from inference_worker.errors import BadInput
from inference_worker.testbed.build import META, Plan, build_testbed, measure_again, with_seed
from inference_worker.testbed.library import adapter_named
from inference_worker.testbed.manifest import SHIPPED, check_manifest
from inference_worker.testbed.pretrain import Recipe
from inference_worker.testbed.record import differences, require_same

NAME = "last-word"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The shipped base with one adapter that knows seed 1."""
    out = tmp_path / "testbed"
    for part in ("base", f"adapters/{NAME}"):
        (out / part).mkdir(parents=True)
        for path in (SHIPPED / part).iterdir():
            (out / part / path.name).write_bytes(path.read_bytes())
    meta = json.loads((out / "adapters" / NAME / META).read_text("utf-8"))
    (out / "adapters" / NAME / META).write_text(json.dumps(meta | {"made": None}), "utf-8")
    torch.set_num_threads(1)
    measure_again(Plan(out, only=(NAME,), evaluated=8), lambda line: None, adopt=True)
    return out


def test_another_seed_is_refused_by_name(copy: Path) -> None:
    manifest = check_manifest(copy)
    with pytest.raises(BadInput, match=r"wordsmith-v1 was made otherwise: recipe\.seed is 1 and not 2"):
        build_testbed(with_seed(Plan(copy, only=("base", NAME)), 2))
    with pytest.raises(BadInput, match=r"last-word was made otherwise: recipe\.seed is 1 and not 2"):
        build_testbed(with_seed(Plan(copy, only=(NAME,)), 2))
    assert check_manifest(copy) == manifest
    assert manifest["seeds"] == {"bases": {"wordsmith-v1": 1}, "adapters": {NAME: 1}, "brackets": {}}


def test_an_adapter_of_another_seed_goes_onto_a_base_that_stays(copy: Path) -> None:
    plan = with_seed(Plan(copy, only=(NAME,), evaluated=8, force=True), 2)
    short = replace(plan, adapter_recipe=replace(plan.adapter_recipe, steps=1))
    manifest = build_testbed(short, lambda line: None)
    assert manifest["seeds"] == {"bases": {"wordsmith-v1": 1}, "adapters": {NAME: 2}, "brackets": {}}


def test_another_recipe_and_another_base_are_refused_by_name(copy: Path) -> None:
    plan = Plan(copy, only=(NAME,))
    with pytest.raises(BadInput, match=r"recipe\.steps is 150 and not 7"):
        build_testbed(replace(plan, adapter_recipe=replace(plan.adapter_recipe, steps=7)))
    with pytest.raises(BadInput, match=r"spec\.rank is 8 and not 4"):
        build_testbed(replace(plan, adapters=(replace(adapter_named(NAME), rank=4),)))
    with (copy / "base" / "model.safetensors").open("ab") as weights:
        weights.write(b" ")
    with pytest.raises(BadInput, match=r"base is \w{12}… and not"):
        build_testbed(plan)


def test_a_checkpoint_of_another_recipe_is_not_gone_on_from(tmp_path: Path) -> None:
    plan = Plan(tmp_path / "out", only=("base",))
    plan.work.mkdir(parents=True)
    made = {"recipe": {"seed": 5}}
    torch.save({"made": made}, plan.work / "wordsmith-v1.ckpt")
    with pytest.raises(BadInput, match=r"wordsmith-v1\.ckpt was made otherwise: recipe\.seed is 5 and not 1"):
        build_testbed(plan, lambda line: None)


def test_what_nobody_recorded_agrees_with_everything() -> None:
    require_same("x", None, {"recipe": {"seed": 1}})
    assert list(differences({"recipe": {"seed": 1}}, {"recipe": {"seed": 1, "hidden": Recipe().hidden}})) == []
    assert list(differences({"recipe": {"stages": [1]}}, {"recipe": {"stages": [2]}})) == ["recipe.stages is another"]
