"""Small random adapters as PEFT itself writes them, and the logits that PEFT computes with them."""

from __future__ import annotations

import functools
import json
import warnings
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, PreTrainedModel

PROMPT = torch.tensor([[1, 5, 9, 2, 40, 33, 7]])


def tiny_llama() -> LlamaForCausalLM:
    """Two layers, with biases in attention; the same weights every time."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        attention_bias=True,
        tie_word_embeddings=False,
    )
    model = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(std=0.3)
    return model


def tiny_gpt2() -> GPT2LMHeadModel:
    """One layer of Conv1D modules."""
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=64, n_embd=32, n_layer=1, n_head=4, n_positions=32, bos_token_id=1, eos_token_id=2)
    return GPT2LMHeadModel(config).eval()


def make_adapter(
    directory: Path,
    seed: int,
    *,
    base: Any = tiny_llama,
    r: int = 4,
    targets: Any = ("q_proj", "up_proj"),
    **options: Any,
) -> Path:
    """Save a random adapter with every trainable number moved away from its start."""
    targets = targets if isinstance(targets, str) else list(targets)
    config = LoraConfig(r=r, target_modules=targets, task_type="CAUSAL_LM", **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = get_peft_model(base(), config)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if parameter.requires_grad:
                    spread = 0.05 if "magnitude" in name else 0.3
                    parameter.add_(torch.randn(parameter.shape, generator=generator) * spread)
        model.save_pretrained(str(directory))
    return directory


def load_peft(directory: Path, base: Any = tiny_llama, **options: Any) -> PeftModel:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return PeftModel.from_pretrained(base(), str(directory), **options).eval()


@torch.no_grad()
def logits(model: PreTrainedModel | PeftModel) -> Tensor:
    return model(PROMPT).logits


def adapter_logits(directory: Path, base: Any = tiny_llama) -> Tensor:
    return logits(load_peft(directory, base))


def peft_merge(
    directories: list[Path], weights: list[float], kind: str, base: Any = tiny_llama, **options: Any
) -> PeftModel:
    """PEFT's own ``add_weighted_adapter``, active under the name ``merged``."""
    model = load_peft(directories[0], base, adapter_name="a0")
    for index, directory in enumerate(directories[1:], 1):
        model.load_adapter(str(directory), adapter_name=f"a{index}")
    names = [f"a{index}" for index in range(len(directories))]
    model.add_weighted_adapter(names, weights, "merged", combination_type=kind, **options)
    model.set_adapter("merged")
    return model


def peft_delta(model: PeftModel, adapter: str) -> dict[str, Tensor]:
    """Dense Δ (d_out, d_in) of every module that ``adapter`` changes."""
    return {
        name.removeprefix("base_model.model."): module.get_delta_weight(adapter).detach()
        for name, module in model.named_modules()
        if hasattr(module, "get_delta_weight") and adapter in getattr(module, "lora_A", {})
    }


@functools.cache
def module_shapes() -> dict[str, tuple[int, int]]:
    return {
        name: tuple(module.weight.shape)
        for name, module in tiny_llama().named_modules()
        if isinstance(module, torch.nn.Linear)
    }


def edit_config(directory: Path, **changes: Any) -> None:
    path = directory / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def edit_tensors(directory: Path, change: Any) -> None:
    """Rewrite the weights as ``change(tensors)`` returns them."""
    path = directory / "adapter_model.safetensors"
    tensors = change({name: tensor.clone() for name, tensor in load_file(path).items()})
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, metadata={"format": "pt"})
