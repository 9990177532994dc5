"""``iso_c``: the weighted sum with one strength in all directions (Marczak et al., 2025, arXiv 2502.04959)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from inference_worker.contracts.merge_methods.spectral import IsoCOptions
from inference_worker.merging.core import Basis, Core, assemble, count_nonzero, keep_rank, nothing
from inference_worker.merging.stack import Merged, ModuleStack


def merge_iso_c(stacks: Sequence[ModuleStack], rank: int | None, options: IsoCOptions, seed: int) -> list[Merged]:
    """U·σ̄·Vᵀ for Σ w_i·Δ_i = U·diag(σ)·Vᵀ, σ̄ the mean of the singular values (paper, equation 7).

    The mean goes over the directions that are kept, or with ``mean=span`` over all in the sum's own span. Of a full
    d_out × d_in spectrum almost all values are zero for LoRA: their mean would give strength to directions that nobody
    learned.
    The error is what the sum loses with the directions that the rank leaves out.
    """
    return [_merge_one(stack, rank, options) for stack in stacks]


def _merge_one(stack: ModuleStack, rank: int | None, options: IsoCOptions) -> Merged:
    core = Core.of(stack)
    whole = float(core.norms().max())
    return flatten(stack, core.left, core.right, core.total(), rank, whole, span=options.mean == "span")


def flatten(
    stack: ModuleStack,
    left: Basis,
    right: Basis,
    matrix: Tensor,
    rank: int | None,
    whole: float = 0.0,
    span: bool = False,
) -> Merged:
    """Q_left·matrix·Q_rightᵀ with its largest singular values replaced by their mean and the others by zero.

    ``whole`` is the size of what was added up, to tell nonzero values from rounding. ``span``: the mean of all nonzero
    values, also of those that the rank leaves out.
    """
    u, sigma, vh = torch.linalg.svd(matrix, full_matrices=False)
    nonzero = count_nonzero(sigma, whole)
    keep = min(keep_rank(stack, rank, sigma), nonzero)
    if not keep:
        return nothing(stack)
    error = float(sigma[keep:].norm() / sigma.norm())
    level = sigma[: nonzero if span else keep].mean().expand(keep)
    return assemble(left, right, u[:, :keep], level, vh[:keep].T, error)
