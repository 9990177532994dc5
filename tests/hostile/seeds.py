"""Good adapters of several kinds, as PEFT writes them, to change; and a card for them."""

from __future__ import annotations

from pathlib import Path

import torch
from reference.tiny_adapters import edit_tensors, make_adapter, tiny_llama

from tests.hostile.mutations import CARD, CONFIG, WEIGHTS, Files

GOOD_CARD = b"""---
license: apache-2.0
base_model: mistralai/Mistral-7B-v0.1
tags: [summaries, news]
language: [en, "no"]
datasets:
- squad
pipeline_tag: text-generation
library_name: peft
model-index:
- name: summaries
  results:
  - task: {type: text-generation}
    dataset: {name: News, type: news}
    metrics:
    - {type: rouge, value: 0.41}
---
# Summaries

Writes *short* [summaries](https://example.org/a?b=c#d) of news.

| input | output |
|-------|--------|
| long  | short  |

1. Paste a text.
2. Read `one` sentence.
"""
KINDS: dict[str, dict[str, object]] = {
    "plain": {},
    "half": {},
    "dora": {"use_dora": True},
    "patterns": {"rank_pattern": {"up_proj": 2}, "alpha_pattern": {"q_proj": 3}, "use_rslora": True},
    "saved": {"modules_to_save": ["lm_head"]},
    "bias": {"lora_bias": True},
    "embedding": {"targets": ("q_proj", "embed_tokens")},
}


def make_seeds(folder: Path) -> dict[str, Files]:
    seeds: dict[str, Files] = {}
    for number, (name, options) in enumerate(KINDS.items()):
        directory = make_adapter(folder / name, number, **options)
        if name == "half":
            edit_tensors(directory, lambda tensors: {key: value.to(torch.bfloat16) for key, value in tensors.items()})
        files = {path: (directory / path).read_bytes() for path in (CONFIG, WEIGHTS)}
        seeds[name] = {**files, CARD: GOOD_CARD}
    return seeds


def base_shapes() -> dict[str, tuple[int, int]]:
    """All modules of the seeds' base that a LoRA may change."""
    kinds = (torch.nn.Linear, torch.nn.Embedding)
    return {
        name: tuple(module.weight.shape) for name, module in tiny_llama().named_modules() if isinstance(module, kinds)
    }
