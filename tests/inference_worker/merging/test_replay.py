"""A recipe makes the same bytes again: by every method, with any number of threads, from an earlier form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from reference.random_factors import MODULES, random_factors, write_factors, write_random

from inference_worker.adapter_format import open_directory
from inference_worker.contracts.merge_output import EnergyRank, GroupWeight, MergeOutput, ModuleRank
from inference_worker.contracts.merge_recipe import parse_recipe
from inference_worker.errors import BadInput
from inference_worker.merging import METHODS, merge_adapters
from inference_worker.merging.replay import find_folders, replay_recipe

WEIGHTS = "adapter_model.safetensors"
ALL = ("adapter_config.json", WEIGHTS, "merge_report.json", "recipe.json")
#: Options that make use of chance.
RANDOM: dict[str, dict[str, Any]] = {
    "knots": {"merge": "dare_ties"},
    "core_space": {"merge": "dare_linear"},
}


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    for seed in range(2):
        write_random(tmp_path / f"p{seed}", seed).close()
    return [tmp_path / "p0", tmp_path / "p1"]


def make(folders: list[Path], method: str, out: Path, **options: Any) -> Path:
    readers = [open_directory(folder) for folder in folders]
    merge_adapters(readers, [1.0, -0.5][: len(readers)], method, out, **options)
    for reader in readers:
        reader.close()
    return out


def content(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in ALL}


@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_method_replays_to_the_same_bytes(method: str, folders: list[Path], tmp_path: Path) -> None:
    settings = {"seed": 11, "options": RANDOM.get(method, {}), "output": MergeOutput(rank=3, rotate=True)}
    made = make(folders, method, tmp_path / "made", threads=2, **settings)
    recipe = parse_recipe((made / "recipe.json").read_bytes())
    again = replay_recipe(recipe, folders, tmp_path / "again", threads=1)
    assert content(tmp_path / "again") == content(made)
    assert again.warnings == ()


@pytest.mark.parametrize("space", ["core", "factor"])
@pytest.mark.parametrize("method", ["dare_ties", "della"])
def test_chance_in_every_space(method: str, space: str, folders: list[Path], tmp_path: Path) -> None:
    made = make(folders, method, tmp_path / "made", threads=1, seed=2, options={"space": space})
    recipe = parse_recipe((made / "recipe.json").read_bytes())
    replay_recipe(recipe, folders, tmp_path / "again", threads=3)
    assert content(tmp_path / "again") == content(made)
    other = make(folders, method, tmp_path / "other", seed=3, options={"space": space})
    assert (other / WEIGHTS).read_bytes() != (made / WEIGHTS).read_bytes()


def test_all_of_the_output_is_in_the_recipe(folders: list[Path], tmp_path: Path) -> None:
    output = MergeOutput(
        rank=EnergyRank(energy=0.7),
        ranks=(ModuleRank(modules="0/q_proj", rank="same"),),
        dtype="bfloat16",
        rotate=True,
        exclude=("1/v_proj",),
    )
    groups = [(GroupWeight(modules="0", factor=-0.25),), ()]
    made = make(folders, "svd", tmp_path / "made", output=output, layer_weights=groups, seed=5)
    recipe = parse_recipe((made / "recipe.json").read_bytes())
    assert recipe.output == output
    # Adapters may be named in any order: digests tell them apart.
    replay_recipe(recipe, folders[::-1], tmp_path / "again")
    assert content(tmp_path / "again") == content(made)


def test_an_earlier_recipe_replays(folders: list[Path], tmp_path: Path) -> None:
    made = make(folders, "lego", tmp_path / "made", seed=5, rank=3, dtype="float16")
    table = json.loads((made / "recipe.json").read_text())
    parents = [{key: parent[key] for key in ("label", "weight", "config", "weights")} for parent in table["parents"]]
    earlier = {
        "format": 1,
        "kind": "merge",
        "method": "lego",
        "parameters": {
            "rank": 3,
            "dtype": "float16",
            "options": {
                "restarts": 4,
                "iterations": 50,
                "normalise": False,
                "parameter_reweighting": "l2",
                "output_reweighting": True,
            },
        },
        "seed": 5,
        "parents": parents,
        "versions": {"brickyard": "0.0.1", "torch": table["versions"]["torch"]},
    }
    again = replay_recipe(parse_recipe(earlier), folders, tmp_path / "again")
    assert "made with brickyard 0.0.1 (form 1)" in again.warnings[0]
    assert (tmp_path / "again" / WEIGHTS).is_file()


def test_a_recipe_without_a_start_is_from_before_there_was_wards(folders: list[Path], tmp_path: Path) -> None:
    made = make(folders, "lego", tmp_path / "made", rank=3, options={"start": "random", "restarts": 2})
    table = json.loads((made / "recipe.json").read_text())
    assert table["options"].pop("start") == "random"
    again = replay_recipe(parse_recipe(table), folders, tmp_path / "again")
    assert again.report.recipe["options"]["start"] == "random"
    assert content(tmp_path / "again") == content(made)


def test_an_adapter_may_be_its_own_partner(folders: list[Path], tmp_path: Path) -> None:
    made = make([folders[0], folders[0]], "cat", tmp_path / "made")
    recipe = parse_recipe((made / "recipe.json").read_bytes())
    replay_recipe(recipe, folders[:1], tmp_path / "again")
    assert content(tmp_path / "again") == content(made)


def test_other_weights_are_named(folders: list[Path], tmp_path: Path) -> None:
    recipe = parse_recipe((make(folders, "cat", tmp_path / "made") / "recipe.json").read_bytes())
    write_factors(tmp_path / "other", {MODULES[0]: random_factors(9, 4)}).close()
    with pytest.raises(BadInput, match=r"Parent 2 of the recipe, p1, is not other: config .* and weights"):
        replay_recipe(recipe, [folders[0], tmp_path / "other"], tmp_path / "again")
    with pytest.raises(BadInput, match=r"has 2 parents .p0, p1., and 1 adapters are given"):
        replay_recipe(recipe, folders[:1], tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_parents_are_found_by_name(folders: list[Path], tmp_path: Path) -> None:
    recipe = parse_recipe((make(folders, "cat", tmp_path / "made") / "recipe.json").read_bytes())
    assert find_folders(recipe, [tmp_path / "nowhere", tmp_path]) == folders
    with pytest.raises(BadInput, match="No folder of the recipe's parent p0"):
        find_folders(recipe, [tmp_path / "nowhere"])
    away = recipe.model_copy(
        update={"parents": tuple(parent.model_copy(update={"label": "../p0"}) for parent in recipe.parents)}
    )
    with pytest.raises(BadInput, match=r"No folder of the recipe's parent \.\./p0"):
        find_folders(away, [tmp_path / "made"])
