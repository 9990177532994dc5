"""``iso_cts``: Iso-C with room for directions of single adapters (Marczak et al., 2025, arXiv 2502.04959)."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from inference_worker.contracts.merge_methods.spectral import IsoCtsOptions
from inference_worker.merging.core import Core, assemble, count_nonzero, keep_rank, nothing, polar, svd_of_product
from inference_worker.merging.stack import Merged, ModuleStack


def merge_iso_cts(stacks: Sequence[ModuleStack], rank: int | None, options: IsoCtsOptions, seed: int) -> list[Merged]:
    """The top directions of the sum, and per adapter the top directions of what it has beside those (section 5.3).

    Of rank k, the ``common`` share goes to the sum Σ w_i·Δ_i and the rest in equal parts to the K adapters: the top
    singular vectors of Δ_i − U_c·U_cᵀ·Δ_i. All are orthogonalised together (Procrustes) and get the mean of all their
    singular values. The paper spends the full rank of the matrix; here it is the rank of the result.
    """
    return [_merge_one(stack, rank, options) for stack in stacks]


def _merge_one(stack: ModuleStack, rank: int | None, options: IsoCtsOptions) -> Merged:
    core = Core.of(stack)
    u, sigma, vh = torch.linalg.svd(core.total(), full_matrices=False)
    present = core.present()
    if not present:
        return nothing(stack)
    keep = keep_rank(stack, rank, sigma)
    own = _own_directions(keep, options.common, len(present))
    common = min(keep - own * len(present), count_nonzero(sigma, float(core.norms().max())))
    lefts, values, rights = [u[:, :common]], [sigma[:common]], [vh[:common].T]
    for left, right in present:
        rest = left - lefts[0] @ (lefts[0].T @ left)
        own_u, own_sigma, own_v = svd_of_product(rest, right)
        # What the sum's directions leave of an adapter may be rounding; it is measured against the whole adapter.
        count = min(own, count_nonzero(own_sigma, float(svd_of_product(left, right)[1][0])))
        lefts.append(own_u[:, :count])
        values.append(own_sigma[:count])
        rights.append(own_v[:, :count])
    level = torch.cat(values).mean()
    matrix = polar(torch.cat(lefts, 1)) @ polar(torch.cat(rights, 1)).T
    u, sigma, vh = torch.linalg.svd(matrix, full_matrices=False)
    kept = min(keep, count_nonzero(sigma))
    return assemble(core.left, core.right, u[:, :kept], level * sigma[:kept], vh[:kept].T, None)


def _own_directions(keep: int, common: float, adapters: int) -> int:
    """How many directions each adapter gets: the nearest equal split of what the common share leaves."""
    left_over = keep - int(keep * common)
    return min(round(left_over / adapters), keep // adapters)
