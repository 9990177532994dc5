"""``knots``: elementwise merging in directions that all adapters share (Stoica et al., ICLR 2025, arXiv 2410.19735)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from inference_worker.contracts.merge_methods.spectral import CoordinateOptions
from inference_worker.merging.coordinates import finish, merge_coordinates
from inference_worker.merging.core import Basis, Core, nothing, settle, shared_directions
from inference_worker.merging.stack import Merged, ModuleStack


def merge_knots(stacks: Sequence[ModuleStack], rank: int | None, options: CoordinateOptions, seed: int) -> list[Merged]:
    """U·merge(Σ·V_1ᵀ, …, Σ·V_Kᵀ) for [Δ_1 … Δ_K] = U·Σ·[V_1ᵀ … V_Kᵀ] (paper, section 4.2).

    Σ·V_iᵀ = Uᵀ·Δ_i is (n, d_in), n ≤ Σr, and its rows are made when they are needed; Δ never is. The SVD sees the
    adapters without their weights, which enter where the elementwise merge has them. TIES trims per module; the
    published code trims over the whole model.
    """
    return [_merge_one(stack, rank, options, seed) for stack in stacks]


def _merge_one(stack: ModuleStack, rank: int | None, options: CoordinateOptions, seed: int) -> Merged:
    core = Core.of(stack)
    directions, sigma = shared_directions(core.lefts, core.rights)
    if not len(sigma):
        return nothing(stack)
    directions = settle(core.left, directions, sigma, stack)
    lefts = [(directions.T @ left).to(stack.A) for left in core.lefts]
    rights = stack.A.split(list(stack.ranks))

    def part(index: int, rows: slice) -> Tensor:
        return lefts[index][rows] @ rights[index]  # Σ·V_iᵀ

    shape = (len(sigma), stack.A.shape[1])
    merged = merge_coordinates(stack, part, shape, core.weights.to(stack.A), options, seed)
    right = Basis.of(merged.T)
    return finish(stack, core.left, right, directions @ right.upper.T, rank, options)
