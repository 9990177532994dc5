"""Inputs of merge functions without files."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from inference_worker.adapter_format import Factors
from inference_worker.merging.stack import Merged, ModuleStack


def make_stack(
    parts: Sequence[Factors],
    weights: Sequence[float],
    *,
    scales: Sequence[float] | None = None,
    owners: Sequence[int] | None = None,
    line_up: tuple[tuple[int, float], ...] = (),
) -> ModuleStack:
    """One module of these adapters; ``scales`` are what alpha and rank give, 1 unless told."""
    ranks = torch.tensor([part.A.shape[0] for part in parts])
    folded = [weight * scale for weight, scale in zip(weights, scales or [1.0] * len(parts), strict=True)]
    return ModuleStack(
        name="model.layers.0.self_attn.q_proj",
        A=torch.cat([part.A for part in parts]),
        B=torch.cat([part.B for part in parts], dim=1),
        scale=torch.tensor(folded, dtype=torch.float64).repeat_interleave(ranks),
        owner=torch.tensor(owners or list(range(len(parts)))).repeat_interleave(ranks),
        ranks=tuple(ranks.tolist()),
        weights=tuple(weights),
        line_up=line_up,
    )


def product(factors: Merged | Factors) -> Tensor:
    """Δ in float64."""
    return factors.B.double() @ factors.A.double()
