"""Which architectures have a GGUF form here: their name in GGUF, and whether llama.cpp orders rotary rows its own way.

llama.cpp rotates neighbouring pairs in models of the Llama family, where transformers rotates halves; its converter
reorders the rows of the query and key projections, and an adapter's B must be reordered alike. Architectures whose
conversion changes weights in other ways than names are left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import gguf


@dataclass(frozen=True)
class Architecture:
    arch: gguf.MODEL_ARCH
    permuted: bool = False


#: ``model_type`` of transformers → GGUF.
ARCHITECTURES: dict[str, Architecture] = {
    "llama": Architecture(gguf.MODEL_ARCH.LLAMA, permuted=True),
    "mistral": Architecture(gguf.MODEL_ARCH.LLAMA, permuted=True),
    "granite": Architecture(gguf.MODEL_ARCH.GRANITE, permuted=True),
    "smollm3": Architecture(gguf.MODEL_ARCH.SMOLLM3, permuted=True),
    "qwen2": Architecture(gguf.MODEL_ARCH.QWEN2),
    "qwen3": Architecture(gguf.MODEL_ARCH.QWEN3),
    "gemma": Architecture(gguf.MODEL_ARCH.GEMMA),
    "gemma2": Architecture(gguf.MODEL_ARCH.GEMMA2),
    "gemma3_text": Architecture(gguf.MODEL_ARCH.GEMMA3),
    "phi3": Architecture(gguf.MODEL_ARCH.PHI3),
    "olmo2": Architecture(gguf.MODEL_ARCH.OLMO2),
    "starcoder2": Architecture(gguf.MODEL_ARCH.STARCODER2),
    "gpt2": Architecture(gguf.MODEL_ARCH.GPT2),
}
