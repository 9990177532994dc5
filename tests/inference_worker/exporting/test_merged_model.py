"""Merged models load in plain transformers and compute what PEFT computes, for every kind of LoRA."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from reference.tiny_adapters import PROMPT, edit_config, load_peft, logits, make_adapter, tiny_gpt2, tiny_llama
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedModel

from inference_worker.adapter_format import open_directory
from inference_worker.contracts.common import BaseFiles
from inference_worker.errors import BadInput, Refused
from inference_worker.exporting.merged import MergedReport, export_merged
from inference_worker.exporting.targets import FolderTarget

#: float32 sums in another order.
CLOSE = {"atol": 2e-5, "rtol": 1e-4}


def tied_llama() -> PreTrainedModel:
    """Input and output embeddings are one tensor."""
    model = tiny_llama()
    model.config.tie_word_embeddings = True
    model.tie_weights()
    return model


@pytest.fixture
def export(tmp_path: Path) -> Callable[..., tuple[Path, MergedReport]]:
    """``export(adapter, base=…)``: the folder of the merged model and the report."""

    def run(adapter: Path, base: Callable[[], Any] = tiny_llama, **options: Any) -> tuple[Path, MergedReport]:
        source, out = tmp_path / "base", tmp_path / "merged"
        base().save_pretrained(source)
        (source / "tokenizer_config.json").write_text("{}")
        with open_directory(adapter) as reader:
            files = BaseFiles(name="tiny", source=str(source))
            report = export_merged(reader, files, FolderTarget(out), **options)
        return out, report

    return run


def load(folder: Path) -> Any:
    model, info = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert not info["mismatched_keys"]
    return model.eval()


def merged_by_peft(adapter: Path, base: Callable[[], Any]) -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return logits(load_peft(adapter, base).merge_and_unload())


KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "rslora": {"use_rslora": True},
    "ranks": {"rank_pattern": {"up_proj": 7}, "alpha_pattern": {"q_proj": 3}},
    "dora": {"use_dora": True},
    "bias_all": {"bias": "all"},
    "bias_lora_only": {"bias": "lora_only"},
    "lora_bias": {"lora_bias": True, "targets": ("q_proj", "k_proj")},
    "all_linear": {"targets": "all-linear"},
    "embedding": {"targets": ("embed_tokens", "q_proj")},
    "embedding_dora": {"targets": ("embed_tokens", "q_proj"), "use_dora": True},
    "lm_head": {"targets": ("lm_head", "q_proj")},
    "modules_to_save": {"modules_to_save": ["lm_head", "norm"]},
    "saved_embedding": {"modules_to_save": ["embed_tokens"]},
    "tokens": {"trainable_token_indices": [5, 9, 40]},
    "layers": {"layers_to_transform": [1]},
}


@pytest.mark.parametrize("kind", KINDS)
def test_equal_to_peft_merged_and_unmerged(kind: str, tmp_path: Path, export: Any) -> None:
    adapter = make_adapter(tmp_path / "adapter", 1, **KINDS[kind])
    out, report = export(adapter)
    expected = logits(load_peft(adapter))
    found = logits(load(out))
    torch.testing.assert_close(found, expected, **CLOSE)
    torch.testing.assert_close(found, merged_by_peft(adapter, tiny_llama), **CLOSE)
    assert not torch.allclose(found, logits(tiny_llama()), atol=1e-3)
    assert not report.untied


@pytest.mark.parametrize("dora", [False, True])
def test_conv1d(tmp_path: Path, export: Any, dora: bool) -> None:
    adapter = make_adapter(
        tmp_path / "adapter", 2, base=tiny_gpt2, targets=("c_attn", "c_fc"), fan_in_fan_out=True, use_dora=dora
    )
    out, _ = export(adapter, tiny_gpt2)
    torch.testing.assert_close(logits(load(out)), logits(load_peft(adapter, tiny_gpt2)), **CLOSE)


@pytest.mark.parametrize(
    ("kind", "untied"),
    [
        ("plain", False),
        ("embedding", True),
        ("lm_head", True),
        ("saved_embedding", True),
        ("saved_head", True),
        ("tokens", False),
        ("tying_ensured", False),
        ("tying_lora", False),
    ],
)
def test_shared_embeddings_are_untied_where_only_one_changes(
    kind: str, untied: bool, tmp_path: Path, export: Any
) -> None:
    """PEFT's running model is the reference: its own merge would change both through the shared tensor."""
    more = {
        "saved_head": {"modules_to_save": ["lm_head"]},
        "tying_lora": {"targets": ("embed_tokens", "q_proj"), "ensure_weight_tying": True},
        "tying_ensured": {"modules_to_save": ["embed_tokens"], "ensure_weight_tying": True},
    }
    adapter = make_adapter(tmp_path / "adapter", 3, base=tied_llama, **{**KINDS, **more}[kind])
    out, report = export(adapter, tied_llama)
    model = load(out)
    torch.testing.assert_close(logits(model), logits(load_peft(adapter, tied_llama)), **CLOSE)
    assert report.untied is untied
    assert json.loads((out / "config.json").read_text())["tie_word_embeddings"] is not untied
    assert (model.lm_head.weight is model.model.embed_tokens.weight) is not untied


def test_shards_index_and_companions(tmp_path: Path, export: Any) -> None:
    adapter = make_adapter(tmp_path / "adapter", 1)
    out, report = export(adapter, shard_bytes=30_000)
    names = sorted(path.name for path in out.glob("*.safetensors"))
    assert report.shards == len(names) > 2
    assert names[0] == f"model-00001-of-{len(names):05d}.safetensors"
    index = json.loads((out / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == report.size
    assert set(index["weight_map"].values()) == set(names)
    assert {"config.json", "generation_config.json", "tokenizer_config.json", "README.md", "export.json"} <= {
        path.name for path in out.iterdir()
    }
    assert not list(out.glob(".*"))
    torch.testing.assert_close(logits(load(out)), logits(load_peft(adapter)), **CLOSE)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_other_types(tmp_path: Path, export: Any, dtype: str) -> None:
    adapter = make_adapter(tmp_path / "adapter", 1)
    out, report = export(adapter, dtype=dtype)
    model = load(out)
    assert model.dtype == getattr(torch, dtype)
    assert report.size == sum(parameter.numel() for parameter in model.parameters()) * 2
    torch.testing.assert_close(logits(model).float(), logits(load_peft(adapter)), atol=0.1, rtol=0.1)


def broken_llama() -> PreTrainedModel:
    model = tiny_llama()
    model.model.layers[0].self_attn.q_proj.weight.data[3, 5] = torch.inf
    return model


def largest_llama() -> PreTrainedModel:
    model = tiny_llama()
    model.model.layers[1].mlp.down_proj.weight.data.fill_(torch.finfo(torch.float32).max)
    return model


def wider_llama() -> PreTrainedModel:
    model = tiny_llama().double()
    model.model.norm.weight.data.fill_(1e300)
    return model


@pytest.mark.parametrize(
    ("base", "alpha", "dtype", "words"),
    [
        (
            tiny_llama,
            10_000_000,
            "float16",
            r"_proj\.weight: values beyond float16's range; export in bfloat16 or float32",
        ),
        (largest_llama, 8, "bfloat16", r"1\.mlp\.down_proj\.weight: values beyond bfloat16's range; export in float32"),
        (wider_llama, 8, "float32", r"model\.norm\.weight: values beyond float32's range\.$"),
        (wider_llama, 8, "bfloat16", r"model\.norm\.weight: values beyond bfloat16's range\.$"),
        (broken_llama, 8, "same", r"0\.self_attn\.q_proj\.weight: values that are not finite .* or in their sum"),
    ],
)
def test_values_beyond_a_type_are_refused(
    base: Callable[[], Any], alpha: float, dtype: str, words: str, tmp_path: Path, export: Any
) -> None:
    adapter = make_adapter(tmp_path / "adapter", 1, lora_alpha=8)
    edit_config(adapter, lora_alpha=alpha)
    with pytest.raises(Refused, match=words) as fault:
        export(adapter, base, dtype=dtype)
    assert fault.value.code == "dtype_overflow"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"task_type": "SEQ_CLS"}, "adapter for SEQ_CLS"),
        ({"alora_invocation_tokens": [1, 2]}, "activated lora"),
        ({"init_lora_weights": "pissa"}, "mutated base"),
        ({"layer_replication": [[0, 2]]}, "layer replication"),
    ],
)
def test_what_weights_cannot_hold_is_refused_by_name(
    changes: dict[str, Any], words: str, tmp_path: Path, export: Any
) -> None:
    adapter = make_adapter(tmp_path / "adapter", 1)
    edit_config(adapter, **changes)
    with pytest.raises(Refused, match=words):
        export(adapter)
    assert not list((tmp_path / "merged").glob("*"))


def test_other_bases_are_refused_by_the_module(tmp_path: Path, export: Any) -> None:
    adapter = make_adapter(tmp_path / "adapter", 1)
    with pytest.raises(BadInput, match=r"does not fit this base: model\.layers\.0.* is not among its modules"):
        export(adapter, tiny_gpt2)


def test_bases_without_safetensors_and_damaged_ones(tmp_path: Path, export: Any) -> None:
    adapter = make_adapter(tmp_path / "adapter", 1)
    export(adapter)
    weights = tmp_path / "base" / "model.safetensors"
    whole = weights.read_bytes()
    files = BaseFiles(name="tiny", source=str(tmp_path / "base"))
    with open_directory(adapter) as reader:
        for damaged in (whole[:5], b"\xff" * 100, whole[:-100]):
            weights.write_bytes(damaged)
            with pytest.raises(BadInput) as fault:
                export_merged(reader, files, FolderTarget(tmp_path / "other"))
            assert fault.value.code == "base_unavailable"
        weights.unlink()
        with pytest.raises(BadInput, match=r"there is no model\.safetensors"):
            export_merged(reader, files, FolderTarget(tmp_path / "other"))


def test_the_recipe_names_the_bytes(tmp_path: Path, export: Any) -> None:
    adapter = make_adapter(tmp_path / "adapter", 1)
    out, _ = export(adapter, license="apache-2.0")
    recipe = json.loads((out / "export.json").read_text())
    assert recipe["kind"] == "merged_model"
    assert len(recipe["adapter"]["weights"]) == 64
    assert 'license: "apache-2.0"' in (out / "README.md").read_text()
    assert "_name_or_path" not in json.loads((out / "config.json").read_text())
    assert PROMPT.shape == (1, 7)
