"""One tiny model of every kind that people adapt: the same weights every time, and its outputs for a fixed prompt."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import transformers as tf
from torch import Tensor

PROMPT = torch.tensor([[1, 5, 9, 2, 40, 33, 7]])
_SIZES = {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4}
_WIDE = {**_SIZES, "intermediate_size": 48}


@dataclass(frozen=True)
class TinyModel:
    """``targets`` are suffixes of adaptable layers, ``embedding`` and ``head`` the names of those modules. ``spread``
    is the size of the random numbers that a test puts into an adapter."""

    build: Callable[[], Any]
    task: str
    targets: tuple[str, ...]
    embedding: str
    head: str = ""
    conv1d: bool = False
    spread: float = 0.2


def _build(kind: type, config: Any) -> Any:
    torch.manual_seed(0)
    model = kind(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(std=0.3)
    return model


def _llama(kind: str = "LlamaForCausalLM", **options: Any) -> Callable[[], Any]:
    special = {"pad_token_id": 0, "num_key_value_heads": 2, "attention_bias": True, "tie_word_embeddings": False}
    return lambda: _build(getattr(tf, kind), tf.LlamaConfig(**_WIDE, **{**special, **options}))


def _bert(kind: str, **options: Any) -> Callable[[], Any]:
    return lambda: _build(getattr(tf, kind), tf.BertConfig(**_WIDE, max_position_embeddings=32, **options))


def _t5() -> Any:
    config = tf.T5Config(
        vocab_size=64, d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4, pad_token_id=0, decoder_start_token_id=0
    )
    return _build(tf.T5ForConditionalGeneration, config)


def _gpt2() -> Any:
    config = tf.GPT2Config(
        vocab_size=64, n_embd=32, n_layer=3, n_head=4, n_positions=32, bos_token_id=1, eos_token_id=2
    )
    return _build(tf.GPT2LMHeadModel, config)


def _neox() -> Any:
    return _build(tf.GPTNeoXForCausalLM, tf.GPTNeoXConfig(**_WIDE, max_position_embeddings=32))


def _phi3() -> Any:
    return _build(tf.Phi3ForCausalLM, tf.Phi3Config(**_WIDE, num_key_value_heads=2, pad_token_id=0))


def _mixtral() -> Any:
    config = tf.MixtralConfig(**_WIDE, num_key_value_heads=2, num_local_experts=3, num_experts_per_tok=2)
    return _build(tf.MixtralForCausalLM, config)


_PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
_BERT = ("query", "key", "value", "output.dense")

MODELS = {
    "llama": TinyModel(_llama(), "CAUSAL_LM", _PROJECTIONS, "embed_tokens", "lm_head"),
    "llama, tied": TinyModel(_llama(tie_word_embeddings=True), "CAUSAL_LM", _PROJECTIONS, "embed_tokens", "lm_head"),
    "gpt2": TinyModel(_gpt2, "CAUSAL_LM", ("c_attn", "c_proj", "c_fc"), "wte", conv1d=True),
    "gpt-neox": TinyModel(
        _neox, "CAUSAL_LM", ("query_key_value", "dense_h_to_4h", "attention.dense"), "embed_in", "embed_out"
    ),
    "phi3": TinyModel(_phi3, "CAUSAL_LM", ("qkv_proj", "gate_up_proj", "o_proj"), "embed_tokens", "lm_head"),
    "llama, classes": TinyModel(
        _llama("LlamaForSequenceClassification", num_labels=3), "SEQ_CLS", _PROJECTIONS, "embed_tokens"
    ),
    "llama, features": TinyModel(_llama("LlamaModel"), "FEATURE_EXTRACTION", _PROJECTIONS, "embed_tokens"),
    "bert, classes": TinyModel(
        _bert("BertForSequenceClassification", num_labels=3), "SEQ_CLS", _BERT, "word_embeddings"
    ),
    "bert, tokens": TinyModel(_bert("BertForTokenClassification", num_labels=3), "TOKEN_CLS", _BERT, "word_embeddings"),
    "bert, answers": TinyModel(_bert("BertForQuestionAnswering"), "QUESTION_ANS", _BERT, "word_embeddings"),
    "mixtral": TinyModel(_mixtral, "CAUSAL_LM", ("q_proj", "v_proj", "o_proj"), "embed_tokens", "lm_head"),
    # Its attention is not scaled, so that large numbers would make rounding visible.
    "t5": TinyModel(_t5, "SEQ_2_SEQ_LM", ("q", "k", "v", "o", "wi"), "shared", spread=0.05),
}


@functools.cache
def linear_names(name: str) -> tuple[str, ...]:
    """Full names of the model's modules with a weight of two dimensions."""
    modules = MODELS[name].build().named_modules()
    return tuple(path for path, module in modules if getattr(getattr(module, "weight", None), "ndim", 0) == 2)


@torch.no_grad()
def outputs(model: Any) -> Tensor:
    """Logits, or hidden states where the model has no head, in float32."""
    needs_decoder = bool(getattr(model.config, "is_encoder_decoder", False))
    result = model(input_ids=PROMPT, **({"decoder_input_ids": PROMPT} if needs_decoder else {}))
    for key in ("logits", "start_logits", "last_hidden_state"):
        if result.get(key) is not None:
            value: Tensor = result[key]
            return torch.cat([value, result["end_logits"]]) if key == "start_logits" else value
    raise ValueError(f"{type(model).__name__} has no outputs to compare")
