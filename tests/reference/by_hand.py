"""Apply an adapter to a plain model with nothing but its file: no PEFT, no reader of ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from reference.tiny_adapters import logits
from safetensors.torch import load_file
from torch import Tensor


@torch.no_grad()
def logits_by_hand(directory: Path, base: Any) -> Tensor:
    """Logits of ``base()`` with Δ = alpha/r · B·A added to its weights and whole tensors put in their places.

    For adapters as a merge writes them: plain scale, patterns by full module names.
    """
    config = json.loads((directory / "adapter_config.json").read_text())
    assert not config["use_rslora"]
    assert not config["use_dora"]
    tensors = {
        name.removeprefix("base_model.model."): tensor
        for name, tensor in load_file(directory / "adapter_model.safetensors").items()
    }
    model = base()
    for name, tensor in tensors.items():
        if name.endswith(".token_adapter.trainable_tokens_delta"):
            embedding = model.get_submodule(name.removesuffix(".token_adapter.trainable_tokens_delta"))
            embedding.weight[config["trainable_token_indices"]] = tensor
        elif ".lora_" not in name:
            model.get_parameter(name.replace(".base_layer.", ".")).copy_(tensor)
    for name, tensor in tensors.items():
        module, _, factor = name.rpartition(".lora_")
        scale = config["alpha_pattern"].get(module, config["lora_alpha"]) / config["rank_pattern"].get(
            module, config["r"]
        )
        if factor in ("A.weight", "embedding_A"):
            target = model.get_submodule(module)
            delta = scale * tensors[f"{module}.lora_{factor.replace('A', 'B')}"] @ tensor
            target.weight += delta.T if type(target).__name__ in ("Conv1D", "Embedding") else delta
        elif factor == "B.bias":
            model.get_submodule(module).bias += scale * tensor
    return logits(model)
