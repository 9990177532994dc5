"""Stacks of one module, as merge methods get them."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from inference_worker.adapter_format import Factors
from inference_worker.merging.stack import Merged, ModuleStack

NAME = "model.layers.0.self_attn.q_proj"


def stack_of(
    factors: Sequence[Factors], weights: Sequence[float], scales: Sequence[float] | None = None, name: str = NAME
) -> ModuleStack:
    """``factors`` with their weights and, where given, LoRA scales; tensors keep their type."""
    ranks = tuple(pair.A.shape[0] for pair in factors)
    repeats = torch.tensor(ranks)
    folded = torch.tensor(weights, dtype=torch.float64) * torch.tensor(scales or [1.0] * len(ranks)).double()
    return ModuleStack(
        name=name,
        A=torch.cat([pair.A for pair in factors]),
        B=torch.cat([pair.B for pair in factors], dim=1),
        scale=folded.repeat_interleave(repeats),
        owner=torch.arange(len(ranks)).repeat_interleave(repeats),
        ranks=ranks,
        weights=tuple(weights),
        line_up=tuple(enumerate(weights)),
    )


def product(pair: Merged | Factors) -> torch.Tensor:
    return pair.B.double() @ pair.A.double()


def doubled(pair: Factors) -> Factors:
    return Factors(pair.A.double(), pair.B.double())
