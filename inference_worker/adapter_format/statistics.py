"""What one module's Δ = B·A looks like, from small cores instead of the dense matrix."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class ModuleMeasure(NamedTuple):
    """``norm`` is ‖Δ‖_F; ``effective_rank`` is exp of the entropy of σ/Σσ (Roy and Vetterli, 2007), 0 for Δ = 0."""

    norm: float
    effective_rank: float


def singular_values(a: Tensor, b: Tensor) -> Tensor:
    """Singular values of B·A, largest first, for a: (r, d_in) and b: (d_out, r).

    With B = Q_B·R_B and Aᵀ = Q_A·R_A, B·A has the singular values of the core R_B·R_Aᵀ, at most r×r. The cores are
    taken in float64 so that cancelling ranks do not leave noise.
    """
    r_b = torch.linalg.qr(b, mode="r").R
    r_a = torch.linalg.qr(a.T, mode="r").R
    return torch.linalg.svdvals(r_b.double() @ r_a.double().T)


def measure(a: Tensor, b: Tensor) -> ModuleMeasure:
    """Norm and effective rank of B·A for finite a: (r, d_in) and b: (d_out, r), both float32."""
    sigma = singular_values(a, b)
    total = float(sigma.sum())
    if total == 0.0:
        return ModuleMeasure(0.0, 0.0)
    share = sigma / total
    entropy = -float((share * share.clamp_min(1e-30).log()).sum())
    return ModuleMeasure(float(sigma.norm()), float(torch.tensor(entropy).exp()))
