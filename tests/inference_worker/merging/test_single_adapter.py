"""One adapter at weight 1 comes out with the same logits, for every flag of the config, or is refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from reference.method_table import neutral_methods, wanted_rank
from reference.reloading import Reloader
from reference.tiny_adapters import (
    adapter_logits,
    edit_config,
    logits,
    make_adapter,
    tiny_gpt2,
    tiny_llama,
)

from inference_worker.adapter_format import open_directory
from inference_worker.errors import Refused
from inference_worker.merging import METHODS, merge_adapters

KEPT: dict[str, dict[str, Any]] = {
    "plain": {},
    "alpha": {"lora_alpha": 13},
    "rslora": {"use_rslora": True},
    "dora": {"use_dora": True},
    "dora_rslora": {"use_dora": True, "use_rslora": True},
    "dora_embedding": {"use_dora": True, "targets": ["embed_tokens", "q_proj"]},
    "dora_head": {"use_dora": True, "targets": ["lm_head", "up_proj"]},
    "bias_all": {"bias": "all"},
    "bias_lora_only": {"bias": "lora_only"},
    "lora_bias": {"lora_bias": True, "targets": ["q_proj"]},
    "modules_to_save": {"modules_to_save": ["lm_head", "input_layernorm"]},
    "embedding": {"targets": ["embed_tokens", "q_proj"]},
    "embedding_and_head": {"targets": ["embed_tokens", "lm_head"]},
    "trainable_tokens": {"trainable_token_indices": [1, 5, 40]},
    "regex_targets": {"targets": r".*layers\.[01]\..*(q|v)_proj"},
    "all_linear": {"targets": "all-linear"},
    "one_layer": {"layers_to_transform": [1]},
    "excluded": {"exclude_modules": ["model.layers.0.mlp.up_proj"]},
    "gaussian": {"init_lora_weights": "gaussian"},
    "orthogonal": {"init_lora_weights": "orthogonal"},
    "rank_pattern": {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"up_proj": 3}},
    "layer_replication": {"layer_replication": [[0, 2], [1, 2]]},
}

_WHOLE: dict[str, Any] = {"density": 1.0}
#: Options under which a method hands a single adapter back.
LOSSLESS: dict[str, dict[str, Any]] = {
    **dict.fromkeys(("ties", "dare_linear", "dare_ties", "magnitude_prune", "della", "breadcrumbs"), _WHOLE),
    "sce": {"select": 1.0},
    "knots": {"merge": "sum"},
    "core_space": {"merge": "sum"},
    "tsv_m": {"keep": 1.0},
}
#: Methods that have none: they mean to change even a single adapter, or take two.
NEVER_LOSSLESS = {"iso_c", "iso_cts", "slerp"}
METHODS_OF_ONE = [method for method in METHODS if method not in NEVER_LOSSLESS]


@pytest.mark.parametrize("flags", sorted(KEPT))
def test_flag_is_kept_by_every_method(flags: str, tmp_path: Path) -> None:
    parent = make_adapter(tmp_path / "parent", 3, **KEPT[flags])
    expected = adapter_logits(parent)
    assert not torch.allclose(expected, logits(tiny_llama()), atol=1e-3)
    with open_directory(parent) as reader:
        rank = max(info.rank for info in reader.modules.values())
        reloader = Reloader()
        for method, options in neutral_methods():
            chosen = wanted_rank(method, rank)
            merge_adapters([reader], [1.0], method, tmp_path / method, rank=chosen, options=options)
            torch.testing.assert_close(reloader.logits(tmp_path / method), expected, rtol=0, atol=3e-5)


def test_conv1d_factors_are_as_for_linear(tmp_path: Path) -> None:
    options = {"base": tiny_gpt2, "targets": ["c_attn", "c_fc"], "fan_in_fan_out": True}
    parent = make_adapter(tmp_path / "parent", 3, **options)
    with open_directory(parent) as reader:
        info = reader.modules["transformer.h.0.attn.c_attn"]
        assert (info.d_in, info.d_out) == (32, 96)
        expected = adapter_logits(parent, tiny_gpt2)
        reloader = Reloader(tiny_gpt2)
        for method, options in neutral_methods():
            merge_adapters([reader], [1.0], method, tmp_path / method, options=options)
            torch.testing.assert_close(reloader.logits(tmp_path / method), expected, rtol=0, atol=3e-5)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "pissa": ({"init_lora_weights": "pissa"}, "PiSSA"),
    "olora": ({"init_lora_weights": "olora"}, "OLoRA"),
    "qalora": ({"use_qalora": True}, "QA-LoRA"),
    "bdlora": ({"use_bdlora": {"nblocks": 2}}, "BD-LoRA"),
    "kasa": ({"kasa_config": {"beta": 0.1}}, "KaSA"),
    "monteclora": ({"monteclora_config": {"num_samples": 2}}, "MonteCLoRA"),
    "arrow": ({"arrow_config": {"top_k": 2}}, "Arrow"),
    "target_parameters": ({"target_parameters": ["mlp.up_proj.weight"]}, "target_parameters"),
}


@pytest.mark.parametrize("flags", sorted(REFUSED))
def test_flag_is_refused_by_name(flags: str, tmp_path: Path) -> None:
    parent = make_adapter(tmp_path / "parent", 3)
    changes, words = REFUSED[flags]
    edit_config(parent, **changes)
    with open_directory(parent) as reader:
        for method in METHODS:
            with pytest.raises(Refused, match=words):
                merge_adapters([reader], [1.0], method, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_activated_lora_keeps_its_tokens_alone(tmp_path: Path) -> None:
    parent = make_adapter(tmp_path / "parent", 3)
    edit_config(parent, alora_invocation_tokens=[5, 9])
    with open_directory(parent) as reader:
        merge_adapters([reader], [1.0], "cat", tmp_path / "out")
        with pytest.raises(Refused, match="invocation tokens"):
            merge_adapters([reader], [0.5], "cat", tmp_path / "half")
    with open_directory(tmp_path / "out") as merged:
        assert merged.raw_config["alora_invocation_tokens"] == [5, 9]


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_keeps_the_logits_to_its_own_accuracy(dtype: str, tmp_path: Path) -> None:
    parent = make_adapter(tmp_path / "parent", 3)
    with open_directory(parent) as reader:
        merge_adapters([reader], [1.0], "svd", tmp_path / "out", dtype=dtype)
    with open_directory(tmp_path / "out") as merged:
        assert {info.dtype for info in merged.modules.values()} == {{"bfloat16": "BF16", "float16": "F16"}[dtype]}
    torch.testing.assert_close(adapter_logits(tmp_path / "out"), adapter_logits(parent), rtol=0, atol=3e-2)
