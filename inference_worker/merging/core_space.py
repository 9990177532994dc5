"""``core_space``: merging in one small square of coordinates (Panariello et al., NeurIPS 2025, arXiv 2509.17786)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from inference_worker.contracts.merge_methods.spectral import CoreSpaceOptions
from inference_worker.merging.coordinates import finish, merge_coordinates
from inference_worker.merging.core import Basis, Core, count_nonzero, nothing, settle, shared_directions
from inference_worker.merging.stack import Merged, ModuleStack


def merge_core_space(
    stacks: Sequence[ModuleStack], rank: int | None, options: CoreSpaceOptions, seed: int
) -> list[Merged]:
    """U_B·merge(M_1, …, M_K)·V_Aᵀ with M_i = U_Bᵀ·Δ_i·V_A (paper, section 4).

    U_B holds the left singular vectors of [B_1 … B_K], V_A the right ones of the stacked A, as they are stored. Both
    span everything, so nothing is lost. They depend on how a unit is split into its factors, (c·a, b/c); with
    ``basis`` "updates" they are those of [Δ_1 … Δ_K] and of the stacked Δ, which do not.
    """
    return [_merge_one(stack, rank, options, seed) for stack in stacks]


def _merge_one(stack: ModuleStack, rank: int | None, options: CoreSpaceOptions, seed: int) -> Merged:
    core = Core.of(stack)
    if options.basis == "updates":
        outputs, inputs = shared_directions(core.lefts, core.rights), shared_directions(core.rights, core.lefts)
    else:
        outputs, inputs = _directions(core.left), _directions(core.right)
    if not (len(outputs[1]) and len(inputs[1])):
        return nothing(stack)
    u, v = settle(core.left, *outputs, stack), settle(core.right, *inputs, stack)
    values = u.T @ core.cores() @ v  # M_i, (K, n, n)
    shape = (values.shape[1], values.shape[2])
    merged = merge_coordinates(stack, lambda index, rows: values[index, rows], shape, core.weights, options, seed)
    return finish(stack, core.left, core.right, u @ merged @ v.T, rank, options)


def _directions(basis: Basis) -> tuple[Tensor, Tensor]:
    """Singular vectors and values of the factor itself, in the coordinates of its basis."""
    u, sigma, _ = torch.linalg.svd(basis.upper, full_matrices=False)
    keep = count_nonzero(sigma)
    return u[:, :keep], sigma[:keep]
