"""Write bases and adapters as directories that plain transformers and PEFT load, the same bytes on every run."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from peft import PeftModel, get_peft_model_state_dict
from safetensors.torch import save as tensors_to_bytes
from tokenizers import Tokenizer
from transformers import GenerationConfig, LlamaForCausalLM

from inference_worker.testbed.tokenizer import END, save_tokenizer


def save_base(model: LlamaForCausalLM, tokenizer: Tokenizer, directory: Path) -> None:
    """Write the base in bfloat16, the tied head once, with its tokenizer."""
    directory.mkdir(parents=True, exist_ok=True)
    save_tokenizer(tokenizer, directory)
    state = {k: v.bfloat16().contiguous() for k, v in model.state_dict().items() if k != "lm_head.weight"}
    (directory / "model.safetensors").write_bytes(tensors_to_bytes(state, metadata={"format": "pt"}))
    model.config.dtype = torch.bfloat16
    model.config.architectures = ["LlamaForCausalLM"]
    model.config.save_pretrained(directory)
    end = tokenizer.token_to_id(END)
    GenerationConfig(eos_token_id=end, pad_token_id=model.config.pad_token_id).save_pretrained(directory)


def load_base(directory: Path) -> LlamaForCausalLM:
    """The written base in float32, on which adapters are trained and everything is evaluated."""
    # On lists this short, attention written out is many times faster than torch's fused kernel on a CPU.
    model = LlamaForCausalLM.from_pretrained(directory, dtype=torch.float32, attn_implementation="eager")
    return model.eval()


def load_tokenizer(directory: Path) -> Tokenizer:
    return Tokenizer.from_file(str(directory / "tokenizer.json"))


def load_adapter(base: LlamaForCausalLM, directory: Path) -> PeftModel:
    """The written adapter over ``base``."""
    model: PeftModel = PeftModel.from_pretrained(base, str(directory))
    return model.eval()


def save_adapter(model: PeftModel, directory: Path) -> None:
    """Write ``adapter_config.json`` and ``adapter_model.safetensors`` (bfloat16)."""
    directory.mkdir(parents=True, exist_ok=True)
    # Embeddings are never trained here, and asking whether they were would ask the model hub.
    found = get_peft_model_state_dict(model, save_embedding_layers=False)
    state = {name: tensor.bfloat16().contiguous() for name, tensor in sorted(found.items())}
    (directory / "adapter_model.safetensors").write_bytes(tensors_to_bytes(state, metadata={"format": "pt"}))
    config = model.peft_config["default"]
    config.inference_mode = True
    # PEFT holds the targets as a set, whose order changes from run to run.
    fields = {key: sorted(value) if isinstance(value, set) else value for key, value in config.to_dict().items()}
    text = json.dumps(fields, indent=2, sort_keys=True, default=str)
    (directory / "adapter_config.json").write_text(text + "\n", encoding="utf-8")
