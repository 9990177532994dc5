"""``tsv_m``: task singular vectors, merged (Gargiulo et al., CVPR 2025, arXiv 2412.00081)."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from inference_worker.contracts.merge_methods.spectral import TsvMOptions
from inference_worker.merging.core import Core, nothing, polar, svd_of_product, truncate
from inference_worker.merging.stack import Merged, ModuleStack


def merge_tsv_m(stacks: Sequence[ModuleStack], rank: int | None, options: TsvMOptions, seed: int) -> list[Merged]:
    """Û_⊥·Σ̂·V̂_⊥ᵀ: every adapter's top singular vectors, concatenated and orthogonalised (paper, section 4.2).

    Each adapter keeps 1/K of its rank r_i, at least one direction, K being the adapters whose update is not zero. The
    paper keeps 1/K of the matrix's min(d_out, d_in), which is more than a LoRA has; ``keep`` 1 gives that. Û_⊥ is the
    orthonormal matrix nearest to Û. Weights are folded into the updates, their sign into the left vectors.
    """
    return [_merge_one(stack, rank, options) for stack in stacks]


def _merge_one(stack: ModuleStack, rank: int | None, options: TsvMOptions) -> Merged:
    core = Core.of(stack)
    present = core.present()
    if not present:
        return nothing(stack)
    parts = [_strongest(*svd_of_product(left, right), options.keep or 1.0 / len(present)) for left, right in present]
    lefts, values, rights = (torch.cat(part, -1) for part in zip(*parts, strict=True))
    return truncate(stack, core.left, core.right, polar(lefts) * values @ polar(rights).T, rank)


def _strongest(
    u: torch.Tensor, sigma: torch.Tensor, v: torch.Tensor, share: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    # A hair above, so that a third of 3 is 1.
    count = max(1, int(share * sigma.shape[0] + 1e-9))
    return u[:, :count], sigma[:count], v[:, :count]
