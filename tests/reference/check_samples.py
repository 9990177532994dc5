"""One adapter for every code that the engine reports: code -> a function that writes it into a folder.

Headers and configs that are wrong in themselves stand in ``hostile_files``; here are adapters whose parts disagree.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from reference.hostile_files import CONFIGS, HEADERS, write_pair
from safetensors.torch import save
from torch import Tensor

Sample = Callable[[Path], Path]
PREFIX = "base_model.model."
#: The base that samples are compared with.
SHAPES = {"model.layers.0.q_proj": (6, 4), "model.layers.0.v_proj": (6, 4), "lm_head": (5, 6)}


def factors(module: str = "model.layers.0.q_proj", rank: int = 2, d_in: int = 4, d_out: int = 6) -> dict[str, Tensor]:
    return {
        f"{PREFIX}{module}.lora_A.weight": torch.ones(rank, d_in),
        f"{PREFIX}{module}.lora_B.weight": torch.ones(d_out, rank),
    }


def sample(tensors: dict[str, Tensor] | None = None, metadata: dict[str, str] | None = None, **config: Any) -> Sample:
    plain = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"]}
    data = save(factors() if tensors is None else tensors, metadata or {"format": "pt"})
    return lambda folder: write_pair(folder, json.dumps({**plain, **config}).encode(), data)


def renamed(change: Callable[[str], str]) -> dict[str, Tensor]:
    return {change(name): tensor for name, tensor in factors().items()}


def changed(ending: str, tensor: Tensor | None) -> dict[str, Tensor]:
    """The plain factors with the one called ``ending`` replaced, or left out."""
    result = {name: value for name, value in factors().items() if not name.endswith(ending)}
    return result if tensor is None else result | {f"{PREFIX}model.layers.0.q_proj.{ending}": tensor}


def _nothing(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


_OTHER = torch.ones(3)

SAMPLES: dict[str, Sample] = {
    "missing_file": _nothing,
    "bad_dropout": sample(lora_dropout=2),
    "bad_layers": sample(layer_replication=[1, 2]),
    "bad_tokens": sample(trainable_token_indices="1"),
    "duplicate_entries": sample(target_modules=["q_proj", "q_proj"]),
    "merged_linear_refused": sample(enable_lora=[True, False]),
    "mutated_base": sample(init_lora_weights="pissa_niter_4"),
    "unknown_config_keys": sample(made_by="somebody"),
    "targets_left_open": sample(target_modules=None),
    "null_not_loaded": sample(bias=None, rank_pattern=None, alpha_pattern=None),
    "unknown_task_type": sample(task_type="CHAT"),
    "image_adapter": sample(metadata={"ss_network_module": "networks.lora"}),
    "foreign_layout": sample({"model.layers.0.q_proj.lora_down.weight": torch.ones(2, 4)}),
    "prefix_doubled": sample(renamed(lambda name: PREFIX + name)),
    "prefix_missing": sample(renamed(lambda name: name.removeprefix(PREFIX))),
    "name_repaired": sample(renamed(lambda name: name.replace(".weight", ".default.weight"))),
    "factor_missing": sample(changed("lora_B.weight", None)),
    "rank_mismatch": sample(r=8),
    "bad_shape": sample(changed("lora_A.weight", torch.ones(8))),
    "no_lora_tensors": sample({f"{PREFIX}model.norm.weight": _OTHER}),
    "module_not_targeted": sample(exclude_modules=["q_proj"]),
    "target_without_tensors": sample(target_modules=["q_proj", "k_proj"]),
    "unknown_tensor": sample(factors() | {f"{PREFIX}model.norm.weight": _OTHER}),
    "saved_module_missing": sample(modules_to_save=["lm_head"]),
    "dora_incomplete": sample(use_dora=True),
    "conv_layer": sample(
        changed("lora_A.weight", None)
        | changed("lora_B.weight", None)
        | {f"{PREFIX}conv.lora_A.weight": torch.ones(2, 4, 3), f"{PREFIX}conv.lora_B.weight": torch.ones(6, 2, 1)},
        target_modules=["conv", "q_proj"],
    ),
    "alpha_by_version": sample(rank_pattern={"q_proj": 2}, alpha_pattern={"0.q_proj": 9}),
    "float64": sample({name: tensor.double() for name, tensor in factors().items()}),
    "not_generated_with": sample(task_type="SEQ_CLS"),
    "not_merged": sample(alora_invocation_tokens=[1]),
    "module_not_in_base": sample(factors("model.layers.9.q_proj")),
    "shape_mismatch": sample(factors(d_in=12)),
    "nonfinite_values": sample(changed("lora_B.weight", torch.full((6, 2), torch.nan))),
    "no_effect": sample(changed("lora_B.weight", torch.zeros(6, 2))),
    "modules_without_effect": sample(
        changed("lora_B.weight", torch.zeros(6, 2)) | factors("model.layers.0.v_proj"),
        target_modules=["q_proj", "v_proj"],
    ),
}


def _of_weights(data: bytes) -> Sample:
    return lambda folder: write_pair(folder, weights=data)


def _of_config(data: bytes) -> Sample:
    return lambda folder: write_pair(folder, config=data)


for _data, _code in HEADERS.values():
    SAMPLES.setdefault(_code, _of_weights(_data))
for _data, _code in CONFIGS.values():
    SAMPLES.setdefault(_code, _of_config(_data))
SAMPLES.pop("", None)
