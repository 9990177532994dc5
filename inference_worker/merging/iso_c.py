"""``iso_c``: the weighted sum with one strength in all directions (Marczak et al., 2025, arXiv 2502.04959)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from inference_worker.contracts.merge_methods import NoOptions
from inference_worker.merging.core import Basis, Core, assemble, count_nonzero, keep_rank, nothing
from inference_worker.merging.stack import Merged, ModuleStack


def merge_iso_c(stacks: Sequence[ModuleStack], rank: int | None, options: NoOptions, seed: int) -> list[Merged]:
    """U·σ̄·Vᵀ for Σ w_i·Δ_i = U·diag(σ)·Vᵀ, σ̄ the mean of the singular values (paper, equation 7).

    The mean goes over the directions that are kept, at most those in the sum's own span. Of a full d_out × d_in
    spectrum almost all values are zero for LoRA: their mean would give strength to directions that nobody learned.
    The error is what the sum loses with the directions that the rank leaves out.
    """
    return [_merge_one(stack, rank) for stack in stacks]


def _merge_one(stack: ModuleStack, rank: int | None) -> Merged:
    core = Core.of(stack)
    return flatten(stack, core.left, core.right, core.total(), rank, float(core.norms().max()))


def flatten(
    stack: ModuleStack, left: Basis, right: Basis, matrix: Tensor, rank: int | None, whole: float = 0.0
) -> Merged:
    """Q_left·matrix·Q_rightᵀ with its largest singular values replaced by their mean and the others by zero.

    ``whole`` is the size of what was added up, to tell nonzero values from rounding.
    """
    u, sigma, vh = torch.linalg.svd(matrix, full_matrices=False)
    keep = min(keep_rank(stack, rank, sigma), count_nonzero(sigma, whole))
    if not keep:
        return nothing(stack)
    error = float(sigma[keep:].norm() / sigma.norm())
    level = sigma[:keep].mean().expand(keep)
    return assemble(left, right, u[:, :keep], level, vh[:keep].T, error)
