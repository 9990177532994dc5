"""Results of the form Σ c_i·Δ_i whose coefficients follow from norms and angles between the updates alone."""

from __future__ import annotations

import torch
from torch import Tensor

from inference_worker.merging.core import Core, truncate
from inference_worker.merging.stack import Merged, ModuleStack


def inner_products(core: Core) -> Tensor:
    """⟨Δ_i, Δ_j⟩ of the unweighted updates, (K, K) float64."""
    flat = core.cores().flatten(1)
    return flat @ flat.T


def combine(stack: ModuleStack, core: Core, coefficients: Tensor, rank: int | None) -> Merged:
    """Σ c_i·Δ_i cut to a rank. coefficients: (K,)."""
    return truncate(stack, core.left, core.right, torch.einsum("k,kmn->mn", coefficients, core.cores()), rank)
