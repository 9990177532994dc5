"""``knots``: elementwise merging in directions that all adapters share (Stoica et al., ICLR 2025, arXiv 2410.19735)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from torch import Tensor

from inference_worker.contracts.merge_methods.spectral import CoordinateOptions
from inference_worker.merging.coordinates import finish, merge_coordinates, trims, updates_of
from inference_worker.merging.core import Basis, Core, nothing, settle, shared_directions
from inference_worker.merging.spaces import Updates
from inference_worker.merging.stack import Merged, ModuleStack
from inference_worker.merging.trimming import limited


def merge_knots(stacks: Sequence[ModuleStack], rank: int | None, options: CoordinateOptions, seed: int) -> list[Merged]:
    """U·merge(Σ·V_1ᵀ, …, Σ·V_Kᵀ) for [Δ_1 … Δ_K] = U·Σ·[V_1ᵀ … V_Kᵀ] (paper, section 4.2).

    Σ·V_iᵀ = Uᵀ·Δ_i is (n, d_in), n ≤ Σr, and its rows are made when they are needed; Δ never is. The SVD sees the
    adapters without their weights, which enter where the elementwise merge has them. The published code trims over the
    whole model, as ``trim`` "model" does.
    """
    if trims(options):
        stacks = limited(stacks, options, partial(knots_updates, options=options, seed=seed))
    return [_merge_one(stack, rank, options, seed) for stack in stacks]


def knots_updates(stack: ModuleStack, options: CoordinateOptions, seed: int) -> Sequence[Updates]:
    """What is merged entry by entry of one module: Σ·V_iᵀ of every adapter, or nothing where all are zero."""
    found = _coordinates(stack, seed)
    return [found[2]] if found else []


def _coordinates(stack: ModuleStack, seed: int) -> tuple[Core, Tensor, Updates] | None:
    """The core, U (m, n) and Σ·V_iᵀ; None where all adapters are zero."""
    core = Core.of(stack)
    directions, sigma = shared_directions(core.lefts, core.rights)
    if not len(sigma):
        return None
    directions = settle(core.left, directions, sigma, stack)
    lefts = [(directions.T @ left).to(stack.A) for left in core.lefts]
    rights = stack.A.split(list(stack.ranks))

    def part(index: int, rows: slice) -> Tensor:
        return lefts[index][rows] @ rights[index]  # Σ·V_iᵀ

    shape = (len(sigma), stack.A.shape[1])
    return core, directions, updates_of(stack, part, shape, core.weights.to(stack.A), seed)


def _merge_one(stack: ModuleStack, rank: int | None, options: CoordinateOptions, seed: int) -> Merged:
    found = _coordinates(stack, seed)
    if found is None:
        return nothing(stack)
    core, directions, updates = found
    right = Basis.of(merge_coordinates(updates, options).T)
    return finish(stack, core.left, right, directions @ right.upper.T, rank, options)
