"""What trainers of every year really write: configs of PEFT 0.2 to 0.21, Unsloth, Axolotl, DeepSpeed, FSDP, and others'
files, which are refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from peft.utils.peft_types import PeftType
from reference.hostile_files import write_pair
from reference.tiny_adapters import adapter_logits, edit_config, edit_tensors, make_adapter
from safetensors.torch import load_file, save_file
from torch import Tensor

from inference_worker.adapter_format import inspect_adapter, open_directory, rewrite_adapter
from inference_worker.adapter_format.peft_types import CONVERTIBLE, REASONS
from inference_worker.contracts.inspect import InspectResult
from inference_worker.merging.pipeline import merge_adapters

PREFIX = "base_model.model."

#: Keys that each version of PEFT wrote for LoRA beside those of the versions before. Many files leave peft_version out.
WRITTEN_BY: dict[str, dict[str, Any]] = {
    "0.2": {
        "base_model_name_or_path": "decapoda-research/llama-7b-hf",
        "bias": "none",
        "enable_lora": None,
        "fan_in_fan_out": False,
        "inference_mode": True,
        "lora_alpha": 16,
        "lora_dropout": 0.05,
        "merge_weights": False,
        "modules_to_save": None,
        "peft_type": "LORA",
        "r": 4,
        "target_modules": ["q_proj", "up_proj"],
        "task_type": "CAUSAL_LM",
    },
    "0.3": {"init_lora_weights": True, "revision": None},
    "0.5": {"auto_mapping": None, "layers_pattern": None, "layers_to_transform": None},
    "0.8": {"alpha_pattern": {}, "rank_pattern": {}, "loftq_config": {}, "megatron_config": None, "use_rslora": False},
    "0.11": {"layer_replication": None, "megatron_core": "megatron.core", "use_dora": False},
    "0.14": {"eva_config": None, "exclude_modules": None, "lora_bias": False, "lora_dropout": 0},
    "0.17": {
        "corda_config": None,
        "qalora_group_size": 16,
        "target_parameters": None,
        "trainable_token_indices": None,
        "use_qalora": False,
    },
    "0.18": {
        "peft_version": "0.18.1",
        "alora_invocation_tokens": None,
        "arrow_config": None,
        "ensure_weight_tying": False,
    },
    "0.21": {
        "peft_version": "0.21.2",
        "kasa_config": None,
        "lora_ga_config": None,
        "monteclora_config": None,
        "use_bdlora": None,
        "velora_config": None,
    },
}


def inspect(directory: Path) -> InspectResult:
    return inspect_adapter(directory / "adapter_config.json", directory / "adapter_model.safetensors")


def codes(result: InspectResult) -> set[str]:
    return {problem.code for problem in result.problems}


def rename(directory: Path, change: Callable[[str], str]) -> None:
    edit_tensors(directory, lambda tensors: {change(name): tensor for name, tensor in tensors.items()})


def write_config(directory: Path, config: dict[str, Any]) -> None:
    (directory / "adapter_config.json").write_text(json.dumps(config))


@pytest.mark.parametrize("version", list(WRITTEN_BY))
def test_configs_of_every_version(version: str, tmp_path: Path) -> None:
    """Read without a word, and as the PEFT of today reads them."""
    make_adapter(tmp_path / "in", 3, lora_alpha=16)
    config: dict[str, Any] = {}
    for written in WRITTEN_BY:
        config |= WRITTEN_BY[written]
        if written == version:
            break
    write_config(tmp_path / "in", config)
    result = inspect(tmp_path / "in")
    assert result.problems == ()
    assert (result.summary.rank, result.summary.alpha) == (4, 16.0)
    with open_directory(tmp_path / "in") as reader:
        rewrite_adapter(reader, tmp_path / "again")
        merge_adapters([reader], [1.0], "cat", tmp_path / "canonical", threads=1)
    expected = adapter_logits(tmp_path / "again")
    torch.testing.assert_close(adapter_logits(tmp_path / "canonical"), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"base_model_name_or_path": None}, set()),
        ({"base_model_name_or_path": ""}, set()),
        ({"base_model_name_or_path": "weights\\LocalModel"}, set()),
        ({"lora_dropout": 0}, set()),
        ({"lora_dropout": None, "use_dora": None, "fan_in_fan_out": None, "revision": None}, set()),
        ({"bias": None}, {"null_not_loaded"}),
        ({"rank_pattern": None, "alpha_pattern": None, "task_type": None, "modules_to_save": []}, {"null_not_loaded"}),
        ({"target_modules": ["q_proj", "up_proj", "q_proj"]}, {"duplicate_entries"}),
        ({"target_modules": None}, {"targets_left_open"}),
        ({"target_modules": "all-linear"}, set()),
        ({"target_modules": ["q_proj", "up_proj", "visual.blocks.0.attn.qkv"]}, {"target_without_tensors"}),
        ({"trainer": "somebody's"}, {"unknown_config_keys"}),
        ({"task_type": "CAUSAL"}, {"unknown_task_type"}),
        ({"exclude_modules": [], "layers_to_transform": [], "layers_pattern": ""}, set()),
        # Axolotl hands its lora_target_modules on as they stand, also as one expression.
        ({"target_modules": r"model.layers.[\d]+.(mlp|cross_attn|self_attn).(up|down|gate|q|k|v|o)_proj"}, set()),
        # Unsloth writes such expressions for models with eyes, with look-ahead, and marks the mapping.
        (
            {
                "base_model_name_or_path": "unsloth/llama-3.2-3b-instruct-unsloth-bnb-4bit",
                "target_modules": r"(?:.*?(?:language|text).*?(?:self_attn|mlp).*?\.(?:q_proj|up_proj))|"
                r"(?:\bmodel\.layers\.[\d]{1,}(?!.*\.experts\.\d)\..*?(?:self_attn|mlp).*?\.(?:(?:q_proj|up_proj)))",
                "auto_mapping": {
                    "base_model_class": "LlamaForCausalLM",
                    "parent_library": "transformers.models.llama.modeling_llama",
                    "unsloth_fixed": True,
                },
            },
            set(),
        ),
    ],
)
def test_peculiar_configs(changes: dict[str, Any], expected: set[str], tmp_path: Path) -> None:
    make_adapter(tmp_path, 3)
    edit_config(tmp_path, **changes)
    result = inspect(tmp_path)
    assert result.valid, result.problems
    assert codes(result) == expected


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda name: PREFIX + name, "prefix_doubled"),
        (lambda name: name.removeprefix(PREFIX), "prefix_missing"),
        (lambda name: name.replace(".weight", ".default.weight"), "name_repaired"),
        (lambda name: "module." + name, "name_repaired"),
        (lambda name: name.replace("layers.0", "layers.0._checkpoint_wrapped_module"), "name_repaired"),
        (lambda name: PREFIX + PREFIX + name.replace(".weight", ".a-run_7.weight"), "prefix_doubled"),
    ],
    ids=["doubled", "missing", "adapter", "ddp", "checkpointing", "tripled with an adapter"],
)
def test_wrong_names_are_repaired_for_good(change: Callable[[str], str], code: str, tmp_path: Path) -> None:
    """PEFT loads nothing of such a file; of what is written here it loads everything."""
    make_adapter(tmp_path / "in", 3)
    expected = adapter_logits(tmp_path / "in")
    rename(tmp_path / "in", change)
    result = inspect(tmp_path / "in")
    assert result.valid
    assert code in codes(result)
    with open_directory(tmp_path / "in") as reader:
        rewrite_adapter(reader, tmp_path / "again")
        merge_adapters([reader], [1.0], "svd", tmp_path / "merged", threads=1)
    assert inspect(tmp_path / "again").problems == ()
    torch.testing.assert_close(adapter_logits(tmp_path / "again"), expected)
    torch.testing.assert_close(adapter_logits(tmp_path / "merged"), expected, atol=1e-4, rtol=1e-4)


def test_files_without_metadata_are_read(tmp_path: Path) -> None:
    make_adapter(tmp_path, 3)
    path = tmp_path / "adapter_model.safetensors"
    save_file(load_file(path), path)
    assert inspect(tmp_path).problems == ()


def test_a_head_below_peft_s_wrapper_is_read(tmp_path: Path) -> None:
    """Early PEFT left its wrapper in the names, with the base's own head beside the trained one."""
    make_adapter(tmp_path / "in", 3, modules_to_save=["lm_head"])
    expected = adapter_logits(tmp_path / "in")

    def wrap(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        head = tensors.pop(f"{PREFIX}lm_head.weight")
        wrapped = {f"{PREFIX}lm_head.modules_to_save.default.weight": head}
        return tensors | wrapped | {f"{PREFIX}lm_head.original_module.weight": torch.zeros_like(head)}

    edit_tensors(tmp_path / "in", wrap)
    result = inspect(tmp_path / "in")
    assert codes(result) == {"name_repaired", "not_generated_with"}
    with open_directory(tmp_path / "in") as reader:
        rewrite_adapter(reader, tmp_path / "again")
    torch.testing.assert_close(adapter_logits(tmp_path / "again"), expected)


def test_the_alpha_of_early_peft_is_pointed_out(tmp_path: Path) -> None:
    """Before 0.15 the first key of both patterns decided for rank and alpha alike."""
    make_adapter(tmp_path, 3, rank_pattern={"q_proj": 2}, alpha_pattern={"layers.0.self_attn.q_proj": 32})
    assert inspect(tmp_path).problems == ()
    edit_config(tmp_path, peft_version=None)
    result = inspect(tmp_path)
    assert codes(result) == {"alpha_by_version"}
    assert "took alpha 8 for this module and since takes 32" in result.problems[0].message
    edit_config(tmp_path, peft_version="0.15.0")
    assert inspect(tmp_path).problems == ()


#: Tensor names of others -> the code by which they are refused.
FOREIGN = {
    "lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight": "image_adapter",
    "lora_te1_text_model_encoder_layers_0_mlp_fc1.alpha": "image_adapter",
    "lycoris_layers_0_attention_qkv.lora_down.weight": "image_adapter",
    "unet.down_blocks.0.attentions.0.processor.to_q_lora.down.weight": "image_adapter",
    "transformer.transformer_blocks.0.attn.to_k.lora_A.weight": "image_adapter",
    "base_model.model.down_blocks.1.attentions.0.to_q.lora_A.weight": "image_adapter",
    "diffusion_model.double_blocks.0.img_attn.qkv.lora_A.weight": "image_adapter",
    "text_encoder.text_model.encoder.layers.0.self_attn.q_proj.lora_A.weight": "image_adapter",
    "model.layers.0.self_attn.q_proj.lora_a": "foreign_layout",  # MLX
    "transformer.h.0.attn.c_attn.lora_A": "foreign_layout",  # loralib
    "model.layers.0.mlp.up_proj.hada_w1_a": "foreign_layout",
    "model.decoder.layers.0.self_attention.linear_qkv.adapter.linear_in.weight": "foreign_layout",  # NeMo
}


@pytest.mark.parametrize("name", list(FOREIGN))
def test_other_trainers_are_recognised_by_names(name: str, tmp_path: Path) -> None:
    make_adapter(tmp_path, 3)
    edit_tensors(tmp_path, lambda _: {name: torch.ones(2, 2)})
    result = inspect(tmp_path)
    assert not result.valid
    assert codes(result) == {FOREIGN[name]}
    assert all(problem.remedy for problem in result.problems)


def test_kohya_is_recognised_by_its_metadata(tmp_path: Path) -> None:
    make_adapter(tmp_path, 3)
    path = tmp_path / "adapter_model.safetensors"
    save_file(load_file(path), path, metadata={"ss_network_module": "networks.lora", "ss_base_model_version": "sdxl"})
    result = inspect(tmp_path)
    assert codes(result) == {"image_adapter"}
    assert "kohya" in result.problems[0].message


def test_diffusers_are_recognised_by_their_class(tmp_path: Path) -> None:
    make_adapter(tmp_path, 3)
    library = "diffusers.models.unets.unet_2d_condition"
    edit_config(tmp_path, auto_mapping={"base_model_class": "UNet2DConditionModel", "parent_library": library})
    assert codes(inspect(tmp_path)) == {"image_adapter"}


@pytest.mark.parametrize("kind", [*sorted({kind.value for kind in PeftType} - {"LORA"}), "BONE"])
def test_every_other_type_is_refused_with_its_reason(kind: str, tmp_path: Path) -> None:
    config = {"peft_type": kind, "task_type": "CAUSAL_LM", "target_modules": ["a"]}
    result = inspect(write_pair(tmp_path, config=json.dumps(config).encode()))
    (problem,) = (problem for problem in result.problems if problem.severity == "error")
    assert problem.code == "peft_type_refused"
    assert f"{kind} is refused because {REASONS[kind]}." in problem.message
    assert ("save_as_lora" in problem.remedy) == (kind in CONVERTIBLE)


def test_what_is_said_to_be_convertible_is() -> None:
    """PEFT's layers of these types say themselves that they can be written as LoRA."""
    for kind in CONVERTIBLE:
        module = import_module(f"peft.tuners.{kind.lower()}.layer")
        layers = [
            item for item in vars(module).values() if isinstance(item, type) and item.__module__ == module.__name__
        ]
        assert any("supports_lora_conversion" in vars(layer) for layer in layers), kind


def test_grouped_factors_of_peft_0_2_are_refused(tmp_path: Path) -> None:
    make_adapter(tmp_path, 3)
    edit_config(tmp_path, enable_lora=[True, False, True], merge_weights=True)
    assert codes(inspect(tmp_path)) == {"merged_linear_refused"}


@pytest.mark.parametrize("key", ["bias", "rank_pattern", "alpha_pattern"])
def test_nulls_that_peft_does_not_load_are_written_right(key: str, tmp_path: Path) -> None:
    make_adapter(tmp_path / "in", 3)
    edit_config(tmp_path / "in", **{key: None})
    assert codes(inspect(tmp_path / "in")) == {"null_not_loaded"}
    with pytest.raises(AttributeError, match="NoneType"):
        adapter_logits(tmp_path / "in")
    with open_directory(tmp_path / "in") as reader:
        merge_adapters([reader], [1.0], "cat", tmp_path / "merged", threads=1)
    edit_config(tmp_path / "in", **{key: "none" if key == "bias" else {}})
    expected = adapter_logits(tmp_path / "in")
    torch.testing.assert_close(adapter_logits(tmp_path / "merged"), expected, atol=1e-5, rtol=1e-5)
