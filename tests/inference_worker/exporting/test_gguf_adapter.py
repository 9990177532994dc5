"""GGUF adapters, read back by the gguf library and compared with PEFT's Δ and, where it is installed, in llama.cpp."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import peft
import pytest
import torch
from reference.tiny_adapters import (
    edit_config,
    edit_tensors,
    load_peft,
    make_adapter,
    peft_delta,
    tiny_gpt2,
    tiny_llama,
)
from torch import Tensor
from transformers import AutoModelForCausalLM, GemmaConfig, Phi3Config, Qwen2Config, Qwen3Config

from inference_worker.adapter_format import open_directory
from inference_worker.contracts.common import BaseFiles
from inference_worker.errors import BadInput, Refused
from inference_worker.exporting.gguf_adapter import GgufReport, export_gguf

_SMALL: dict[str, Any] = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "pad_token_id": 0,
}


@pytest.fixture
def export(tmp_path: Path) -> Callable[..., tuple[Path, GgufReport]]:
    def run(adapter: Path, base: Callable[[], Any] = tiny_llama, **options: Any) -> tuple[Path, GgufReport]:
        base().config.save_pretrained(tmp_path / "base")
        files = BaseFiles(name="tiny", source=str(tmp_path / "base"))
        with open_directory(adapter) as reader:
            report = export_gguf(reader, files, tmp_path / "adapter.gguf", **options)
        return tmp_path / "adapter.gguf", report

    return run


def llama_cpp_deltas(path: Path) -> dict[str, Tensor]:
    """Δ of every base tensor as llama.cpp computes it: alpha / r · B·A, with the r of the tensor itself."""
    reader = gguf.GGUFReader(path)
    alpha = float(reader.fields["adapter.lora.alpha"].contents())
    tensors = {tensor.name: torch.tensor(np.array(tensor.data), dtype=torch.float32) for tensor in reader.tensors}
    names = {name.removesuffix(".lora_a") for name in tensors if name.endswith(".lora_a")}
    assert set(tensors) == {f"{name}.{part}" for name in names for part in ("lora_a", "lora_b")}
    deltas = {}
    for name in names:
        a, b = tensors[f"{name}.lora_a"], tensors[f"{name}.lora_b"]
        a = a.T if name == "token_embd.weight" else a
        deltas[name] = alpha / b.shape[1] * (b @ a)
    return deltas


def in_pairs(delta: Tensor, heads: int) -> Tensor:
    """The row order of llama.cpp, written out: row 2i of a head is the i-th of its first half, row 2i + 1 of its
    second."""
    size = delta.shape[0] // heads
    rows = []
    for head in range(heads):
        for index in range(size // 2):
            rows += [head * size + index, head * size + size // 2 + index]
    return delta[rows]


CLOSE = {"atol": 1e-5, "rtol": 1e-4}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"use_rslora": True},
        {"lora_alpha": 5},
        {"rank_pattern": {"up_proj": 7, "k_proj": 2}, "alpha_pattern": {"q_proj": 3}},
        {"targets": "all-linear"},
    ],
    ids=["plain", "rslora", "alpha", "mixed", "all_linear"],
)
def test_llama_in_its_own_row_order(options: dict[str, Any], tmp_path: Path, export: Any) -> None:
    adapter = make_adapter(tmp_path / "adapter", 1, **{"targets": ("q_proj", "k_proj", "up_proj"), **options})
    path, report = export(adapter)
    found = llama_cpp_deltas(path)
    expected = peft_delta(load_peft(adapter), "default")
    parts = {"q_proj": "attn_q", "k_proj": "attn_k", "v_proj": "attn_v", "o_proj": "attn_output", "up_proj": "ffn_up",
             "gate_proj": "ffn_gate", "down_proj": "ffn_down"}  # fmt: skip
    assert len(found) == len(expected) == report.tensors // 2
    for module, delta in expected.items():
        layer, part = module.split(".")[2], module.rpartition(".")[2]
        heads = {"q_proj": 4, "k_proj": 2}.get(part)
        reordered = delta if heads is None else in_pairs(delta, heads)
        torch.testing.assert_close(found[f"blk.{layer}.{parts[part]}.weight"], reordered, **CLOSE)


def test_metadata_as_llama_cpp_asks_for_it(tmp_path: Path, export: Any) -> None:
    path, _ = export(make_adapter(tmp_path / "adapter", 1, lora_alpha=6), license="mit")
    fields = {name: field.contents() for name, field in gguf.GGUFReader(path).fields.items()}
    assert fields["general.type"] == "adapter"
    assert fields["general.architecture"] == "llama"
    assert fields["adapter.type"] == "lora"
    assert fields["adapter.lora.alpha"] == 6.0
    assert (fields["general.name"], fields["general.license"]) == ("adapter", "mit")
    assert fields["general.base_model.0.name"] == "tiny"


def test_plain_factors_go_through_bit_by_bit(tmp_path: Path, export: Any) -> None:
    adapter = make_adapter(tmp_path / "adapter", 1, targets=("up_proj",), lora_alpha=6)
    path, _ = export(adapter)
    tensors = {tensor.name: tensor.data for tensor in gguf.GGUFReader(path).tensors}
    with open_directory(adapter) as reader:
        info = reader.modules["model.layers.0.mlp.up_proj"]
        assert np.array_equal(tensors["blk.0.ffn_up.weight.lora_a"], reader.file.read(info.a).numpy())
        assert np.array_equal(tensors["blk.0.ffn_up.weight.lora_b"], reader.file.read(info.b).numpy())


def test_token_embeddings_stand_by_rows(tmp_path: Path, export: Any) -> None:
    adapter = make_adapter(tmp_path / "adapter", 1, targets=("embed_tokens",))
    # PEFT saves the base's own matrix along, which GGUF has no place for.
    with pytest.raises(Refused, match="full embedding"):
        export(adapter)
    config = peft.LoraConfig(r=4, target_modules=["embed_tokens"], task_type="CAUSAL_LM")
    model = peft.get_peft_model(tiny_llama(), config)
    for name, parameter in model.named_parameters():
        if "lora" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save_pretrained(tmp_path / "bare", save_embedding_layers=False)
    path, _ = export(tmp_path / "bare")
    shapes = {tensor.name: tensor.data.shape for tensor in gguf.GGUFReader(path).tensors}
    assert shapes == {"token_embd.weight.lora_a": (64, 4), "token_embd.weight.lora_b": (32, 4)}
    expected = peft_delta(load_peft(tmp_path / "bare"), "default")
    assert expected == {}  # The helper lists linear modules; the embedding's Δ is (vocabulary, width).
    layer = load_peft(tmp_path / "bare").base_model.model.model.embed_tokens
    delta = layer.get_delta_weight("default").detach()
    torch.testing.assert_close(llama_cpp_deltas(path)["token_embd.weight"].T, delta, **CLOSE)


@pytest.mark.parametrize(
    ("config", "targets", "names"),
    [
        (Qwen2Config(**_SMALL), ["q_proj", "down_proj"], {"attn_q", "ffn_down"}),
        (Qwen3Config(**_SMALL, head_dim=8), ["q_proj", "o_proj"], {"attn_q", "attn_output"}),
        (Phi3Config(**_SMALL), ["qkv_proj", "gate_up_proj"], {"attn_qkv", "ffn_up"}),
        (GemmaConfig(**_SMALL, head_dim=8), ["q_proj", "k_proj"], {"attn_q", "attn_k"}),
    ],
    ids=["qwen2", "qwen3", "phi3", "gemma"],
)
def test_other_architectures_keep_the_row_order(
    config: Any, targets: list[str], names: set[str], tmp_path: Path, export: Any
) -> None:
    def base() -> Any:
        torch.manual_seed(0)
        return AutoModelForCausalLM.from_config(config)

    adapter = make_adapter(tmp_path / "adapter", 2, base=base, targets=targets)
    path, _ = export(adapter, base)
    found = llama_cpp_deltas(path)
    assert {name.split(".")[2] for name in found} == names
    expected = peft_delta(load_peft(adapter, base), "default")
    for module, delta in expected.items():
        matches = [
            value for value in found.values() if value.shape == delta.shape and torch.allclose(value, delta, atol=1e-5)
        ]
        assert len(matches) == 1, module


def test_conv1d_stands_as_linear(tmp_path: Path, export: Any) -> None:
    adapter = make_adapter(tmp_path / "adapter", 2, base=tiny_gpt2, targets=("c_attn",), fan_in_fan_out=True)
    path, report = export(adapter, tiny_gpt2)
    delta = peft_delta(load_peft(adapter, tiny_gpt2), "default")["transformer.h.0.attn.c_attn"]
    # PEFT's Δ is in the layout of the weight (in, out); GGUF's is (out, in).
    torch.testing.assert_close(llama_cpp_deltas(path)["blk.0.attn_qkv.weight"], delta.T, **CLOSE)
    assert report.architecture == "gpt2"


def test_float16(tmp_path: Path, export: Any) -> None:
    adapter = make_adapter(tmp_path / "adapter", 1)
    path, report = export(adapter, dtype="float16")
    assert report.dtype == "float16"
    assert {tensor.tensor_type for tensor in gguf.GGUFReader(path).tensors} == {gguf.GGMLQuantizationType.F16}
    with pytest.raises(Refused, match="float32 or float16, not in bfloat16"):
        export(adapter, dtype="bfloat16")
    wide = make_adapter(tmp_path / "wide", 1, alpha_pattern={"q_proj": 10**7})
    with pytest.raises(Refused, match="beyond float16's range; export in float32 instead"):
        export(wide, dtype="float16")


def test_values_beyond_float32_are_refused(tmp_path: Path, export: Any) -> None:
    """In float64 they may be in a file, and GGUF's alpha may bring them beyond."""
    wide = make_adapter(tmp_path / "wide", 1)
    edit_tensors(wide, lambda tensors: {name: value.double() * 1e300 for name, value in tensors.items()})
    with pytest.raises(Refused, match=r"_proj: values beyond float32's range\."):
        export(wide)
    large = make_adapter(tmp_path / "large", 1, alpha_pattern={"q_proj": 10**7})
    edit_tensors(large, lambda tensors: {name: value * 1e36 for name, value in tensors.items()})
    with pytest.raises(Refused, match=r"q_proj: values that are not finite"):
        export(large)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"use_dora": True}, "dora"),
        ({"modules_to_save": ["lm_head"]}, "modules to save"),
        ({"bias": "all"}, "bias"),
        ({"lora_bias": True, "targets": ("q_proj",)}, "lora bias"),
        ({"trainable_token_indices": [1, 2]}, "trainable tokens"),
    ],
)
def test_what_gguf_cannot_hold_is_refused_by_name(
    options: dict[str, Any], words: str, tmp_path: Path, export: Any
) -> None:
    with pytest.raises(Refused, match=words):
        export(make_adapter(tmp_path / "adapter", 1, **options))


def test_unknown_architectures_and_foreign_modules(tmp_path: Path, export: Any) -> None:
    adapter = make_adapter(tmp_path / "adapter", 1)
    with pytest.raises(BadInput, match="no counterpart"):
        export(adapter, tiny_gpt2)
    edit_config(adapter, base_model_name_or_path="x")

    class Opt:
        config = __import__("transformers").OPTConfig()

    with pytest.raises(Refused, match="Adapters of opt"):
        export(adapter, Opt)
