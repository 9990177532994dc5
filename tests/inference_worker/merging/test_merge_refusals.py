"""What cannot be merged is refused by name, before anything is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from reference.random_factors import MODULES, random_factors, write_factors, write_random
from reference.tiny_adapters import adapter_logits, edit_tensors, make_adapter, tiny_llama
from safetensors.torch import load_file

from inference_worker.adapter_format import open_directory
from inference_worker.errors import BadInput, Refused
from inference_worker.merging import merge_adapters


def refuse(tmp_path: Path, parents: list[Path], match: str, method: str = "svd", **options: Any) -> None:
    readers = [open_directory(parent) for parent in parents]
    with pytest.raises(BadInput, match=match):
        merge_adapters(readers, [1.0] * len(readers), method, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_shapes_that_do_not_fit(tmp_path: Path) -> None:
    one = write_factors(tmp_path / "one", {MODULES[0]: random_factors(0, 4)})
    two = write_factors(tmp_path / "two", {MODULES[0]: random_factors(0, 4, d_in=32)})
    with pytest.raises(Refused, match=f"two and one do not fit one base: {MODULES[0]} has 32 inputs"):
        merge_adapters([one, two], [1.0, 1.0], "cat", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_dora_in_a_sum(tmp_path: Path) -> None:
    dora = make_adapter(tmp_path / "dora", 1, use_dora=True)
    plain = make_adapter(tmp_path / "plain", 2)
    refuse(tmp_path, [plain, dora], "dora cannot be merged: its magnitudes")


def test_linear_wants_equal_ranks(tmp_path: Path) -> None:
    parents = [make_adapter(tmp_path / "r4", 1), make_adapter(tmp_path / "r6", 2, r=6)]
    refuse(tmp_path, parents, "rank 4 in r4 and 6 in r6; svd, cat and lego take any ranks", "linear")


@pytest.mark.parametrize(
    ("weights", "match"),
    [([1.0], "1 weights for 2"), ([0.0, 0.0], "All weights are zero"), ([1.0, float("nan")], "not a number")],
)
def test_weights(weights: list[float], match: str, tmp_path: Path) -> None:
    readers = [write_random(tmp_path / str(seed), seed) for seed in range(2)]
    with pytest.raises(BadInput, match=match):
        merge_adapters(readers, weights, "cat", tmp_path / "out")


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"method": "tie"}, "no merge method 'tie'. Methods: breadcrumbs, cat, .* ties"),
        ({"method": "lego", "options": {"restart": 3}}, "restart: .*Options it has: .*iterations, normalise"),
        ({"method": "lego", "options": {"restarts": 0}}, "restarts: "),
        ({"method": "svd", "options": {"x": 1}}, "Options it has: none"),
        ({"method": "svd", "dtype": "int8"}, "no output type 'int8'"),
    ],
)
def test_arguments(arguments: dict[str, Any], match: str, tmp_path: Path) -> None:
    reader = write_random(tmp_path / "a", 1)
    with pytest.raises(BadInput, match=match):
        merge_adapters([reader], [1.0], out_dir=tmp_path / "out", **arguments)


def test_two_replaced_heads(tmp_path: Path) -> None:
    parents = [make_adapter(tmp_path / str(seed), seed, modules_to_save=["lm_head"]) for seed in range(2)]
    refuse(tmp_path, parents, "0 and 1 both bring their own lm_head.weight")


def test_replaced_and_adapted(tmp_path: Path) -> None:
    saved = make_adapter(tmp_path / "saved", 1, modules_to_save=["down_proj"])
    adapted = make_adapter(tmp_path / "adapted", 2, targets=["q_proj", "down_proj"])
    refuse(tmp_path, [saved, adapted], "saved replaces model.layers.0.mlp.down_proj .* while adapted adapts it")


def test_one_replaced_head_is_carried(tmp_path: Path) -> None:
    saved = make_adapter(tmp_path / "saved", 1, modules_to_save=["lm_head"])
    plain = make_adapter(tmp_path / "plain", 2)
    readers = [open_directory(path) for path in (plain, saved)]
    merge_adapters(readers, [1.0, 1.0], "cat", tmp_path / "out")
    merged = adapter_logits(tmp_path / "out")

    def with_bases_head(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {**tensors, "base_model.model.lm_head.weight": tiny_llama().lm_head.weight.detach()}

    own = load_file(saved / "adapter_model.safetensors")["base_model.model.lm_head.weight"]
    carried = load_file(tmp_path / "out" / "adapter_model.safetensors")["base_model.model.lm_head.weight"]
    assert torch.equal(own, carried)
    edit_tensors(tmp_path / "out", with_bases_head)
    assert not torch.allclose(adapter_logits(tmp_path / "out"), merged, atol=1e-3)


def test_equal_bytes_are_no_conflict(tmp_path: Path) -> None:
    parent = make_adapter(tmp_path / "saved", 1, modules_to_save=["lm_head"])
    readers = [open_directory(parent), open_directory(parent)]
    merge_adapters(readers, [0.5, 0.5], "cat", tmp_path / "out")
    torch.testing.assert_close(adapter_logits(tmp_path / "out"), adapter_logits(parent), rtol=0, atol=3e-5)


def test_bias_of_a_module_that_the_other_adapts(tmp_path: Path) -> None:
    """The trained bias of k_proj must land below k_proj's base layer once k_proj is adapted."""
    biased = make_adapter(tmp_path / "biased", 1, targets=["q_proj"], bias="all")
    plain = make_adapter(tmp_path / "plain", 2, targets=["k_proj"])
    readers = [open_directory(path) for path in (biased, plain)]
    merge_adapters(readers, [1.0, 1e-5], "cat", tmp_path / "out")
    torch.testing.assert_close(adapter_logits(tmp_path / "out"), adapter_logits(biased), rtol=0, atol=1e-3)


def test_lora_bias_adds_up(tmp_path: Path) -> None:
    parents = [make_adapter(tmp_path / str(seed), seed, targets=["q_proj"], lora_bias=True) for seed in range(2)]
    readers = [open_directory(parent) for parent in parents]
    merge_adapters(readers, [0.5, 0.0], "cat", tmp_path / "half")
    merge_adapters(readers[:1] * 2, [0.3, 0.2], "cat", tmp_path / "sum")
    torch.testing.assert_close(adapter_logits(tmp_path / "sum"), adapter_logits(tmp_path / "half"), rtol=0, atol=3e-5)
    refuse(tmp_path, parents, "lego clusters rank-one units", "lego")


def test_values_that_are_not_finite(tmp_path: Path) -> None:
    reader = write_random(tmp_path / "good", 1)
    write_random(tmp_path / "bad", 2).close()

    def poison(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        tensors[f"base_model.model.{MODULES[2]}.lora_B.weight"][3, 1] = torch.inf
        return tensors

    edit_tensors(tmp_path / "bad", poison)
    for method in ("cat", "svd", "lego", "linear"):
        with pytest.raises(BadInput, match=rf"bad: {MODULES[2]} holds values that are not finite"):
            merge_adapters([reader, open_directory(tmp_path / "bad")], [1.0, 1.0], method, tmp_path / "out")
        assert not (tmp_path / "out").exists()


def test_values_beyond_float16(tmp_path: Path) -> None:
    factors = {MODULES[0]: random_factors(0, 4)}
    factors[MODULES[0]].B.mul_(1e5)
    reader = write_factors(tmp_path / "large", factors)
    with pytest.raises(Refused, match="beyond float16's range"):
        merge_adapters([reader], [1.0], "cat", tmp_path / "out", dtype="float16")
