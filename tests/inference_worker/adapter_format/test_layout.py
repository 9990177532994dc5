"""Names, shapes and scales: config and tensors brought together as PEFT reads them."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from peft.utils.other import get_pattern_key
from reference.random_factors import MODULES, write_random
from reference.tiny_adapters import (
    edit_config,
    edit_tensors,
    load_peft,
    make_adapter,
    module_shapes,
    peft_delta,
    tiny_gpt2,
)

from inference_worker.adapter_format import inspect_adapter, open_directory
from inference_worker.adapter_format.patterns import PatternFault, PatternMatcher
from inference_worker.contracts.inspect import InspectResult
from inference_worker.errors import BadInput

PREFIX = "base_model.model."


def inspect(directory: Path, shapes: dict[str, tuple[int, int]] | None = None) -> InspectResult:
    return inspect_adapter(directory / "adapter_config.json", directory / "adapter_model.safetensors", shapes)


def codes(result: InspectResult) -> list[str]:
    return sorted({problem.code for problem in result.problems})


def rename(directory: Path, change: object) -> None:
    edit_tensors(directory, lambda tensors: {change(name): tensor for name, tensor in tensors.items()})  # type: ignore[operator]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda name: name.removeprefix(PREFIX), "prefix_missing"),
        (lambda name: PREFIX + name, "prefix_doubled"),
        (lambda name: name.replace(".weight", ".default.weight"), "name_repaired"),
        (lambda name: name.replace("model.layers", "_orig_mod.model.layers"), "name_repaired"),
        (lambda name: name.replace("layers.0", "layers.0._fsdp_wrapped_module"), "name_repaired"),
    ],
)
def test_names_are_repaired_with_a_warning(change: object, code: str, tmp_path: Path) -> None:
    with write_random(tmp_path, 1) as reader:
        expected = {name: reader.read(name) for name in reader.modules}
    rename(tmp_path, change)
    result = inspect(tmp_path)
    assert result.valid
    assert codes(result) == [code]
    with open_directory(tmp_path) as reader:
        assert reader.modules.keys() == expected.keys()
        for name, factors in expected.items():
            assert torch.equal(reader.read(name).A, factors.A)


def test_two_adapters_in_one_file(tmp_path: Path) -> None:
    write_random(tmp_path, 1).close()

    def double(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return tensors | {name.replace(".weight", ".other.weight"): value.clone() for name, value in tensors.items()}

    edit_tensors(tmp_path, double)
    assert "duplicate_tensor" in codes(inspect(tmp_path))


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("lora_unet_down_blocks_0_attentions_0.lora_down.weight", "image_adapter"),
        ("transformer.single_transformer_blocks.0.attn.to_q.lora_A.weight", "image_adapter"),
        ("model.layers.0.q_proj.lora_down.weight", "foreign_layout"),
    ],
)
def test_foreign_adapters_are_recognised(name: str, code: str, tmp_path: Path) -> None:
    write_random(tmp_path, 1).close()
    edit_tensors(tmp_path, lambda tensors: {name: torch.ones(2, 2)})
    result = inspect(tmp_path)
    assert not result.valid
    assert codes(result) == [code]


def test_rank_must_agree(tmp_path: Path) -> None:
    write_random(tmp_path, 1, rank=4).close()
    edit_config(tmp_path, r=8)
    result = inspect(tmp_path)
    assert codes(result) == ["rank_mismatch"]
    assert {problem.place for problem in result.problems} == set(MODULES)
    edit_config(tmp_path, rank_pattern={"q_proj": 4, "v_proj": 4})
    assert inspect(tmp_path).valid


def test_factors_must_fit(tmp_path: Path) -> None:
    write_random(tmp_path, 1).close()

    def change(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        del tensors[f"{PREFIX}{MODULES[0]}.lora_B.weight"]
        tensors[f"{PREFIX}{MODULES[1]}.lora_B.weight"] = torch.ones(40, 5)
        tensors[f"{PREFIX}{MODULES[2]}.lora_A.weight"] = torch.ones(24)
        return tensors

    edit_tensors(tmp_path, change)
    edit_config(tmp_path, target_modules="all-linear")
    assert {problem.place: problem.code for problem in inspect(tmp_path).problems} == {
        MODULES[0]: "factor_missing",
        MODULES[1]: "rank_mismatch",
        MODULES[2]: "bad_shape",
    }


def test_targets_must_agree(tmp_path: Path) -> None:
    write_random(tmp_path, 1).close()
    edit_config(tmp_path, target_modules=["q_proj"])
    assert codes(inspect(tmp_path)) == ["module_not_targeted"]
    edit_config(tmp_path, target_modules=["q_proj", "v_proj", "k_proj"])
    result = inspect(tmp_path)
    assert result.valid
    assert codes(result) == ["target_without_tensors"]
    edit_config(tmp_path, target_modules=r".*layers\.\d+\.self_attn\.[qv]_proj")
    assert inspect(tmp_path).problems == ()


def test_unknown_tensors_and_keys_are_named(tmp_path: Path) -> None:
    write_random(tmp_path, 1).close()
    edit_config(tmp_path, made_by="somebody")
    edit_tensors(tmp_path, lambda tensors: tensors | {f"{PREFIX}model.norm.weight": torch.ones(3)})
    result = inspect(tmp_path)
    assert result.valid
    assert codes(result) == ["unknown_config_keys", "unknown_tensor"]
    assert "made_by" in next(p.message for p in result.problems if p.code == "unknown_config_keys")
    assert result.summary.config["made_by"] == "somebody"


def test_shapes_are_compared_with_the_base(tmp_path: Path) -> None:
    make_adapter(tmp_path, 1)
    assert inspect(tmp_path, module_shapes()).problems == ()
    shapes = dict(module_shapes())
    del shapes["model.layers.0.self_attn.q_proj"]
    shapes["model.layers.1.mlp.up_proj"] = (64, 32)
    result = inspect(tmp_path, shapes)
    assert not result.valid
    assert {problem.place: problem.code for problem in result.problems} == {
        "model.layers.0.self_attn.q_proj": "module_not_in_base",
        "model.layers.1.mlp.up_proj": "shape_mismatch",
    }


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"use_rslora": True, "lora_alpha": 3},
        {"rank_pattern": {r"layers\.1.*q_proj": 2}, "alpha_pattern": {"up_proj": 5, "layers.0.mlp.up_proj": 7}},
        {"targets": "all-linear", "lora_alpha": -4},
    ],
)
def test_factors_are_canonical(options: dict[str, object], tmp_path: Path) -> None:
    """B·A equals PEFT's own delta, whatever the scale."""
    make_adapter(tmp_path, 2, **options)
    expected = peft_delta(load_peft(tmp_path), "default")
    with open_directory(tmp_path) as reader:
        assert reader.modules.keys() == expected.keys()
        for name, delta in expected.items():
            factors = reader.read(name)
            torch.testing.assert_close(factors.B @ factors.A, delta, rtol=1e-5, atol=1e-5)


def test_conv1d_keeps_the_factors_of_linear(tmp_path: Path) -> None:
    make_adapter(tmp_path, 2, base=tiny_gpt2, targets=["c_attn"], fan_in_fan_out=True)
    expected = peft_delta(load_peft(tmp_path, tiny_gpt2), "default")
    with open_directory(tmp_path) as reader:
        factors = reader.read("transformer.h.0.attn.c_attn")
    torch.testing.assert_close((factors.B @ factors.A).T, expected["transformer.h.0.attn.c_attn"])


@pytest.mark.parametrize(
    ("options", "feature"),
    [
        ({"use_dora": True}, "dora"),
        ({"bias": "all"}, "bias"),
        ({"lora_bias": True, "targets": ["q_proj"]}, "lora_bias"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"targets": ["embed_tokens"]}, "embedding"),
        ({"trainable_token_indices": [1]}, "trainable_tokens"),
        ({"use_rslora": True}, "rslora"),
    ],
)
def test_features_are_recognised(options: dict[str, object], feature: str, tmp_path: Path) -> None:
    result = inspect(make_adapter(tmp_path, 1, **options), module_shapes())
    assert result.valid
    assert [problem for problem in result.problems if problem.severity != "info"] == []
    assert feature in result.summary.features


def test_scale_of_rank_stabilised_lora(tmp_path: Path) -> None:
    make_adapter(tmp_path, 1, use_rslora=True, lora_alpha=6)
    with open_directory(tmp_path) as reader:
        assert {info.scale for info in reader.modules.values()} == {6 / math.sqrt(4)}


_names = st.sampled_from(["q_proj", "up_proj", "model", "layers", "0", "1", "10", "self_attn", "mlp"])
_modules = st.lists(_names, min_size=1, max_size=4).map(".".join)
_patterns = _modules | _modules.map(lambda name: "^" + name) | st.sampled_from([".*q_proj", r"layers\.\d", "(0|1).*"])


@given(keys=st.lists(_patterns, unique=True, max_size=3), module=_modules)
def test_patterns_match_as_in_peft(keys: list[str], module: str) -> None:
    table = {key: index for index, key in enumerate(keys)}
    expected = table.get(get_pattern_key(table.keys(), module), -1)
    assert PatternMatcher().lookup(table, module, -1) == expected


def test_hanging_patterns_are_stopped() -> None:
    evil = r"(a|x|xx|xxx)+[yz]"
    assert re.compile(evil)
    with pytest.raises(PatternFault, match="too long"):
        PatternMatcher(budget=0.2).lookup({evil: 1}, "x" * 120, 0)


def test_errors_are_all_in_the_exception(tmp_path: Path) -> None:
    write_random(tmp_path, 1).close()
    edit_config(tmp_path, r=3)
    with pytest.raises(BadInput) as caught:
        open_directory(tmp_path, "owner/name")
    assert caught.value.code == "rank_mismatch"
    assert caught.value.message.startswith("owner/name cannot be read")
    assert len(caught.value.extra["problems"]) == len(MODULES)
