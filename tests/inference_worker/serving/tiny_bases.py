"""Small random bases of every architecture that is served, adapters for them, and PEFT's logits as the reference."""

from __future__ import annotations

import time
from collections.abc import Sequence as SequenceOf
from functools import cache
from pathlib import Path
from typing import Any

import peft
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    OPTConfig,
    Phi3Config,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
)

from inference_worker.cli.generate import adapter_paths, file_sha256
from inference_worker.contracts.common import AdapterFiles, BaseFiles
from inference_worker.contracts.generate import Sampling
from inference_worker.mixing.composition import Composition, compose
from inference_worker.serving.adapter_loader import load_adapter
from inference_worker.serving.base_loader import LoadedBase, load_base
from inference_worker.serving.detokenizer import TextStream
from inference_worker.serving.loaded_adapter import LoadedAdapter
from inference_worker.serving.sampling import RowSampler
from inference_worker.serving.sequence import GenerationHandle, Sequence
from inference_worker.serving.settings import EngineSettings

VOCABULARY = 320
_SHAPE: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 128,
    "initializer_range": 0.2,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
_GATED: dict[str, Any] = {**_SHAPE, "intermediate_size": 48, "num_key_value_heads": 2}

#: Architecture -> (config, modules that its adapters target).
ARCHITECTURES: dict[str, tuple[PreTrainedConfig, list[str]]] = {
    "llama": (LlamaConfig(**_GATED), ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]),
    # The windows are shorter than the prompts, so that sliding attention is seen to work.
    "mistral": (MistralConfig(**_GATED, sliding_window=6), ["q_proj", "v_proj", "down_proj"]),
    "qwen2": (Qwen2Config(**_GATED), ["q_proj", "k_proj", "up_proj"]),
    "qwen3": (Qwen3Config(**_GATED, head_dim=8), ["q_proj", "o_proj", "gate_proj"]),
    "gemma3": (
        Gemma3TextConfig(
            **_GATED,
            head_dim=8,
            sliding_window=6,
            query_pre_attn_scalar=8,
            layer_types=["sliding_attention", "full_attention"],
        ),
        ["q_proj", "v_proj", "o_proj", "down_proj"],
    ),
    "phi3": (Phi3Config(**_GATED), ["qkv_proj", "o_proj", "gate_up_proj", "down_proj"]),
    "gpt_neox": (
        GPTNeoXConfig(**_SHAPE, intermediate_size=48),
        ["query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"],
    ),
    "gpt2": (
        GPT2Config(
            vocab_size=VOCABULARY,
            n_embd=32,
            n_layer=2,
            n_head=4,
            n_positions=128,
            initializer_range=0.2,
            bos_token_id=1,
            eos_token_id=2,
        ),
        ["c_attn", "c_proj", "c_fc"],
    ),
    "opt": (OPTConfig(**_SHAPE, ffn_dim=48, word_embed_proj_dim=32), ["q_proj", "v_proj", "fc1", "fc2"]),
}


@cache
def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE with three special tokens; adds none by itself."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<pad>", "<s>", "</s>", "<|end|>"],
        show_progress=False,
    )
    tokenizer.train_from_iterator(["the cat sat on the mat and the dog sat on the log"] * 3, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        additional_special_tokens=["<|end|>"],
    )


def save_base(directory: Path, architecture: str = "llama") -> BaseFiles:
    """Write a random base and its tokenizer."""
    torch.manual_seed(11)
    model = AutoModelForCausalLM.from_config(ARCHITECTURES[architecture][0])
    model.save_pretrained(directory)
    tiny_tokenizer().save_pretrained(directory)
    return BaseFiles(name=architecture, source=str(directory))


def save_adapter(
    base: BaseFiles,
    directory: Path,
    *,
    targets: list[str],
    rank: int = 4,
    seed: int = 0,
    save_embeddings: bool = False,
    **options: Any,
) -> AdapterFiles:
    """Write a PEFT adapter whose factors are random and not zero."""
    torch.manual_seed(seed)
    if "c_attn" in targets:
        options["fan_in_fan_out"] = True  # GPT-2's Conv1D
    config = peft.LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=targets, task_type="CAUSAL_LM", **options)
    model = peft.get_peft_model(AutoModelForCausalLM.from_pretrained(base.source), config)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.2)
        if "magnitude" in name:
            parameter.data.mul_(1.0 + 0.3 * torch.rand_like(parameter))
    model.save_pretrained(directory, save_embedding_layers=save_embeddings)
    return adapter_files(directory)


def adapter_files(directory: Path) -> AdapterFiles:
    """The contract's name for an adapter's directory; its label is the path, for ``resolve``."""
    config, weights = adapter_paths(directory)
    return AdapterFiles(label=str(directory), config=file_sha256(config), weights=file_sha256(weights))


def resolve(files: AdapterFiles) -> tuple[Path, Path]:
    return adapter_paths(Path(files.label))


def load(base: BaseFiles) -> LoadedBase:
    return load_base(base, EngineSettings(device="cpu", dtype="float32"))


def members(base: LoadedBase, *weighted: tuple[AdapterFiles, float]) -> Composition[LoadedAdapter]:
    """A composition of adapters read from their directories."""
    loaded = []
    for files, weight in weighted:
        adapter = load_adapter(*resolve(files), files.label, base)
        loaded.append((adapter, weight))
    return compose(loaded)


def make_row(
    prompt: SequenceOf[int], composition: Composition[LoadedAdapter], *, max_tokens: int = 32, **sampling: Any
) -> Sequence:
    """A row that no engine made, for tests of the runner."""
    return Sequence(
        handle=GenerationHandle("test", time.time() + 60),
        prompt=tuple(prompt),
        composition=composition,
        sampler=RowSampler(Sampling(max_tokens=max_tokens, **sampling), prompt),
        text=TextStream(tiny_tokenizer(), ()),
        max_tokens=max_tokens,
        stop_tokens=frozenset(),
    )


@torch.no_grad()
def peft_logits(base: BaseFiles, weighted: SequenceOf[tuple[AdapterFiles, float]], tokens: SequenceOf[int]) -> Tensor:
    """Logits (tokens, vocabulary) of PEFT's own forward pass, alone, without cache; ``cat`` for several adapters."""
    model: Any = AutoModelForCausalLM.from_pretrained(base.source)
    if weighted:
        model = peft.PeftModel.from_pretrained(model, weighted[0][0].label, adapter_name="a0")
        for index, (files, _) in enumerate(weighted[1:], start=1):
            model.load_adapter(files.label, adapter_name=f"a{index}")
    if len(weighted) > 1 or any(weight != 1.0 for _, weight in weighted):
        names = [f"a{index}" for index in range(len(weighted))]
        model.add_weighted_adapter(names, [weight for _, weight in weighted], "sum", combination_type="cat")
        model.set_adapter("sum")
    logits: Tensor = model.eval()(input_ids=torch.tensor([list(tokens)])).logits[0]
    return logits
