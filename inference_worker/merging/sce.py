"""``sce``: select, calculate, erase (Wan et al., FuseChat, 2024, arXiv 2408.07990)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from inference_worker.contracts.merge_methods.elementwise import SceOptions
from inference_worker.merging.elementwise import elect_signs, kept_count, order_statistics
from inference_worker.merging.spaces import Updates, merge_in_space
from inference_worker.merging.stack import Merged, ModuleStack

#: A variance below this share of the entries' mean square is rounding.
EQUAL = 1e-10


def merge_sce(stacks: Sequence[ModuleStack], rank: int | None, options: SceOptions, seed: int) -> list[Merged]:
    """Entries of the largest variance over the adapters; each adapter weighs by its mean square there; minorities go.

    Works on w_i · matrix_i, so weights scale what an adapter contributes and count quadratically in its weight.
    """
    return merge_in_space(stacks, rank, options, seed, partial(_combine, options=options))


def variance(values: Tensor, members: int) -> Tensor:
    """The variance of each entry over ``members`` adapters, of which those not in ``values`` (K, …) are zero."""
    mean = values.sum(dim=0) / members
    spread = (values - mean).square().sum(dim=0) + (members - values.shape[0]) * mean.square()
    return torch.where(spread > EQUAL * values.square().sum(dim=0), spread / members, 0.0)


def _combine(updates: Updates, options: SceOptions) -> Tensor:
    spread = updates.weights[:, None, None]
    limit = _variance_limit(updates, options.select)

    def select(values: Tensor) -> Tensor:
        contributions = values * spread
        if limit is None:
            return contributions
        return torch.where(variance(contributions, updates.members) >= limit, contributions, 0.0)

    energy = torch.zeros_like(updates.weights, dtype=torch.float64)
    for _, values in updates.blocks():
        energy += select(values).square().sum(dim=(1, 2), dtype=torch.float64)
    share = (energy / energy.sum().clamp_min(torch.finfo(torch.float64).tiny)).to(updates.weights)[:, None, None]

    def merge(values: Tensor) -> Tensor:
        chosen = select(values)
        signs = chosen.sign()
        agree = (signs == elect_signs(chosen)) & (signs != 0.0)
        divisor = (share * agree).sum(dim=0)
        return torch.where(divisor > 0.0, (chosen * share * agree).sum(dim=0) / divisor, 0.0)

    return updates.merge(merge)


def _variance_limit(updates: Updates, select: float) -> Tensor | None:
    """The smallest variance that is selected; None where everything is: all asked for, or no entry differs at all."""
    if select >= 1.0:
        return None
    spread = updates.weights[:, None, None]
    variances = updates.merge(lambda values: variance(values * spread, updates.members))
    differing = int(variances.count_nonzero())
    if not differing:
        return None
    return order_statistics(variances, variances.numel() - kept_count(differing, select))[0]
