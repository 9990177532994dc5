"""``core_space``: merging in one small square of coordinates (Panariello et al., NeurIPS 2025, arXiv 2509.17786)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from inference_worker.contracts.merge_methods.spectral import CoreSpaceOptions
from inference_worker.merging.coordinates import finish, merge_coordinates, trims, updates_of
from inference_worker.merging.core import Basis, Core, count_nonzero, nothing, settle, shared_directions
from inference_worker.merging.spaces import Updates
from inference_worker.merging.stack import Merged, ModuleStack
from inference_worker.merging.trimming import limited


def merge_core_space(
    stacks: Sequence[ModuleStack], rank: int | None, options: CoreSpaceOptions, seed: int
) -> list[Merged]:
    """U_B·merge(M_1, …, M_K)·V_Aᵀ with M_i = U_Bᵀ·Δ_i·V_A (paper, section 4).

    U_B holds the left singular vectors of [B_1 … B_K], V_A the right ones of the stacked A, as they are stored. Both
    span everything, so nothing is lost. They depend on how a unit is split into its factors, (c·a, b/c); with
    ``basis`` "updates" they are those of [Δ_1 … Δ_K] and of the stacked Δ, which do not.
    """
    if trims(options):
        stacks = limited(stacks, options, partial(core_space_updates, options=options, seed=seed))
    return [_merge_one(stack, rank, options, seed) for stack in stacks]


def core_space_updates(stack: ModuleStack, options: CoreSpaceOptions, seed: int) -> Sequence[Updates]:
    """What is merged entry by entry of one module: M_i of every adapter, or nothing where all are zero."""
    found = _coordinates(stack, options, seed)
    return [found[3]] if found else []


def _coordinates(
    stack: ModuleStack, options: CoreSpaceOptions, seed: int
) -> tuple[Core, Tensor, Tensor, Updates] | None:
    """The core, U_B, V_A and all M_i; None where all adapters are zero."""
    core = Core.of(stack)
    if options.basis == "updates":
        outputs, inputs = shared_directions(core.lefts, core.rights), shared_directions(core.rights, core.lefts)
    else:
        outputs, inputs = _directions(core.left), _directions(core.right)
    if not (len(outputs[1]) and len(inputs[1])):
        return None
    u, v = settle(core.left, *outputs, stack), settle(core.right, *inputs, stack)
    # M_i is made from factors when it is needed: K matrices of (Σr)² numbers would grow with the cube of K.
    lefts, rights = [u.T @ left for left in core.lefts], [right.T @ v for right in core.rights]

    def part(index: int, rows: slice) -> Tensor:
        return lefts[index][rows] @ rights[index]

    return core, u, v, updates_of(stack, part, (u.shape[1], v.shape[1]), core.weights, seed)


def _merge_one(stack: ModuleStack, rank: int | None, options: CoreSpaceOptions, seed: int) -> Merged:
    found = _coordinates(stack, options, seed)
    if found is None:
        return nothing(stack)
    core, u, v, updates = found
    merged = merge_coordinates(updates, options)
    return finish(stack, core.left, core.right, u @ merged @ v.T, rank, options)


def _directions(basis: Basis) -> tuple[Tensor, Tensor]:
    """Singular vectors and values of the factor itself, in the coordinates of its basis."""
    u, sigma, _ = torch.linalg.svd(basis.upper, full_matrices=False)
    keep = count_nonzero(sigma)
    return u[:, :keep], sigma[:keep]
