"""What a merge writes: files, recipe, the same bytes every time; and how it can be watched and stopped."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from reference.random_factors import MODULES, deltas, write_random

from inference_worker.adapter_format import open_directory
from inference_worker.adapter_format.reader import AdapterReader
from inference_worker.contracts import merge_methods
from inference_worker.errors import Cancelled
from inference_worker.merging import METHODS, describe_methods, loading, merge_adapters

FILES = ("adapter_config.json", "adapter_model.safetensors", "merge_report.json", "recipe.json")


@pytest.fixture
def readers(tmp_path: Path) -> list[AdapterReader]:
    return [write_random(tmp_path / str(seed), seed, rank=2 + seed) for seed in range(3)]


def merge_into(out: Path, readers: list[AdapterReader], method: str = "lego", **options: object) -> dict[str, bytes]:
    merge_adapters(readers, [1.0, -0.5, 2.0], method, out, **options)  # type: ignore[arg-type]
    return {name: (out / name).read_bytes() for name in FILES}


@pytest.mark.parametrize("method", ["cat", "lego", "svd"])
def test_bytes_depend_on_the_request_only(
    method: str, readers: list[AdapterReader], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "GROUP_BYTES", 4000)  # a group per module
    first = merge_into(tmp_path / "one", readers, method, threads=1, seed=5)
    assert merge_into(tmp_path / "two", readers, method, threads=2, seed=5) == first
    assert merge_into(tmp_path / "three", readers, method, threads=3, seed=5) == first
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == sorted(FILES)


def test_grouping_changes_nothing(
    readers: list[AdapterReader], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    merge_into(tmp_path / "together", readers, rank=3)
    monkeypatch.setattr(loading, "GROUP_BYTES", 1)
    merge_into(tmp_path / "apart", readers, rank=3)
    together, apart = (deltas(open_directory(tmp_path / name)) for name in ("together", "apart"))
    for name in MODULES:
        torch.testing.assert_close(apart[name], together[name], rtol=0, atol=1e-5 * float(together[name].norm()))


def test_threads_are_given_back(readers: list[AdapterReader], tmp_path: Path) -> None:
    before = torch.get_num_threads()
    merge_into(tmp_path / "out", readers, threads=2)
    assert torch.get_num_threads() == before


def test_recipe_is_complete(readers: list[AdapterReader], tmp_path: Path) -> None:
    recipe = json.loads(merge_into(tmp_path / "out", readers, rank=3, seed=9, options={"restarts": 2})["recipe.json"])
    assert (recipe["kind"], recipe["method"], recipe["seed"]) == ("merge", "lego", 9)
    assert (recipe["format"], recipe["output"]["rank"], recipe["options"]["restarts"]) == (2, 3, 2)
    assert set(recipe["options"]) == set(merge_methods.LegoOptions.model_fields)
    assert recipe["versions"]["torch"] == torch.__version__.partition("+")[0]
    for seed, (parent, weight) in enumerate(zip(recipe["parents"], [1.0, -0.5, 2.0], strict=True)):
        folder = tmp_path / str(seed)
        assert parent == {
            "label": str(seed),
            "weight": weight,
            "layer_weights": [],
            "config": hashlib.sha256((folder / "adapter_config.json").read_bytes()).hexdigest(),
            "weights": hashlib.sha256((folder / "adapter_model.safetensors").read_bytes()).hexdigest(),
        }


def test_known_digests_are_taken(readers: list[AdapterReader], tmp_path: Path) -> None:
    digests = [{"config": str(index) * 64, "weights": "f" * 64} for index in range(3)]
    recipe = json.loads(merge_into(tmp_path / "out", readers, digests=digests)["recipe.json"])
    assert [parent["config"] for parent in recipe["parents"]] == ["0" * 64, "1" * 64, "2" * 64]


def test_progress_goes_up_to_one(readers: list[AdapterReader], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "GROUP_BYTES", 4000)
    seen: list[float] = []
    merge_into(tmp_path / "out", readers, progress=lambda fraction, message: seen.append(fraction))
    assert seen == sorted(seen)
    assert (seen[0], seen[-1]) == (0.0, 1.0)
    assert len(seen) >= len(MODULES)


def stop_at(limit: float) -> Callable[[float, str], None]:
    def progress(fraction: float, message: str) -> None:
        if fraction >= limit:
            raise Cancelled("taken back")

    return progress


@pytest.mark.parametrize("limit", [0.0, 0.2, 0.98])
def test_cancelling_leaves_nothing(
    limit: float, readers: list[AdapterReader], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "GROUP_BYTES", 4000)
    out = tmp_path / "out"
    with pytest.raises(Cancelled):
        merge_into(out, readers, threads=2, progress=stop_at(limit))
    assert not out.exists()


def test_output_type_follows_the_parents(tmp_path: Path, readers: list[AdapterReader]) -> None:
    merge_into(tmp_path / "half", readers, dtype="bfloat16")
    half = open_directory(tmp_path / "half")
    for parents, expected in (([half], "BF16"), ([half, readers[0]], "F32")):
        out = tmp_path / expected
        merge_adapters(parents, [1.0] * len(parents), "cat", out)
        with open_directory(out) as merged:
            assert {info.dtype for info in merged.modules.values()} == {expected}


def test_targets_are_short_where_they_can_be(tmp_path: Path) -> None:
    everywhere = write_random(tmp_path / "everywhere", 1)
    partly = write_random(tmp_path / "partly", 2, modules=MODULES[:1])
    for parents, expected in (([everywhere], ["q_proj", "v_proj"]), ([everywhere, partly], ["q_proj", "v_proj"])):
        merge_adapters(parents, [1.0] * len(parents), "cat", tmp_path / "out")
        assert json.loads((tmp_path / "out" / "adapter_config.json").read_text())["target_modules"] == expected
    uneven = write_random(tmp_path / "uneven", 3, modules=MODULES[:3])
    merge_adapters([uneven], [1.0], "cat", tmp_path / "out")
    assert json.loads((tmp_path / "out" / "adapter_config.json").read_text())["target_modules"] == list(MODULES[:3])


def test_registry_and_contract_name_the_same_methods() -> None:
    assert METHODS.keys() == merge_methods.METHODS.keys()
    for description in describe_methods():
        assert description["explanation"]
        assert description["options"]["additionalProperties"] is False
        json.dumps(description)
