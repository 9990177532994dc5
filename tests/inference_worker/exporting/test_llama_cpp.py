"""An exported adapter in llama.cpp itself: the same probabilities as PEFT gives."""

from __future__ import annotations

import math
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from reference.tiny_adapters import load_peft, make_adapter
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from inference_worker.adapter_format import open_directory
from inference_worker.contracts.common import BaseFiles
from inference_worker.exporting.gguf_adapter import export_gguf

llama_cpp = pytest.importorskip("xllamacpp")

HEADS, KV_HEADS, LAYERS, VOCABULARY = 4, 2, 2, 320
PROMPT = [70, 5, 9, 2, 40, 133, 7, 250]


def base() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=KV_HEADS,
        max_position_embeddings=128,
        initializer_range=0.2,
        tie_word_embeddings=False,
    )
    return LlamaForCausalLM(config).eval()


def in_pairs(rows: Tensor, heads: int) -> Tensor:
    """llama.cpp's row order, written out."""
    size = rows.shape[0] // heads
    order = [
        head * size + half * size // 2 + index for head in range(heads) for index in range(size // 2) for half in (0, 1)
    ]
    return rows[order]


def write_base(model: LlamaForCausalLM, path: Path) -> None:
    """The base as GGUF, with a vocabulary of pairs of letters: the prompt is given as tokens."""
    config = model.config
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(config.hidden_size // HEADS)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_vocab_size(VOCABULARY)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    letters = [first + second for first in ascii_lowercase for second in ascii_lowercase]
    writer.add_token_list(letters[:VOCABULARY])
    writer.add_token_types([1] * VOCABULARY)
    writer.add_token_merges([f"{letters[0]} {letters[0]}"])
    writer.add_eos_token_id(VOCABULARY - 1)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, LAYERS)
    for name, parameter in model.named_parameters():
        data = parameter.detach()
        if "q_proj" in name or "k_proj" in name:
            data = in_pairs(data, HEADS if "q_proj" in name else KV_HEADS)
        writer.add_tensor(names.get_name(name, (".weight",)), np.ascontiguousarray(data.numpy()))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def next_probabilities(model: Path, lora: Path | None) -> dict[int, float]:
    """Token → log-probability of the first token after the prompt, the likeliest ones."""
    params = llama_cpp.CommonParams()
    params.model.path = str(model)
    params.n_ctx, params.n_parallel, params.warmup = 64, 1, False
    params.cpuparams.n_threads = 1
    if lora is not None:
        params.lora_adapters = [llama_cpp.CommonAdapterLoraInfo(str(lora), 1.0)]
    server = llama_cpp.Server(params)
    answer: Any = server.handle_completions({"prompt": PROMPT, "max_tokens": 1, "temperature": 0.0, "logprobs": 40})
    rows = answer["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
    return {row["id"]: row["logprob"] for row in rows}


@pytest.mark.parametrize("lora_alpha", [8, 5])
def test_same_probabilities_as_peft(lora_alpha: int, tmp_path: Path) -> None:
    model = base()
    model.config.save_pretrained(tmp_path / "base")
    write_base(model, tmp_path / "base.gguf")
    targets = ("q_proj", "k_proj", "v_proj", "o_proj", "up_proj", "down_proj", "lm_head")
    adapter = make_adapter(
        tmp_path / "adapter", 1, base=base, targets=targets[:-1], lora_alpha=lora_alpha, rank_pattern={"up_proj": 7}
    )
    with open_directory(adapter) as reader:
        export_gguf(reader, BaseFiles(name="tiny", source=str(tmp_path / "base")), tmp_path / "adapter.gguf")
    plain = next_probabilities(tmp_path / "base.gguf", None)
    adapted = next_probabilities(tmp_path / "base.gguf", tmp_path / "adapter.gguf")
    with torch.no_grad():
        expected = load_peft(adapter, base)(torch.tensor([PROMPT])).logits[0, -1].log_softmax(0)
        unadapted = model(torch.tensor([PROMPT])).logits[0, -1].log_softmax(0)
    for found, reference in ((plain, unadapted), (adapted, expected)):
        assert len(found) >= 10
        for token, value in found.items():
            assert math.isclose(value, float(reference[token]), abs_tol=2e-2), token
    assert max(abs(float(unadapted[token]) - value) for token, value in adapted.items()) > 0.5
