"""``breadcrumbs``: drop outliers and small entries (Davari and Belilovsky, ECCV 2024, arXiv 2312.06795)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from inference_worker.contracts.merge_methods.elementwise import BreadcrumbsOptions
from inference_worker.merging.elementwise import kept_count, order_statistics, resolve_signs, weighted_sum
from inference_worker.merging.spaces import Updates, merge_in_space
from inference_worker.merging.stack import Merged, ModuleStack


def merge_breadcrumbs(
    stacks: Sequence[ModuleStack], rank: int | None, options: BreadcrumbsOptions, seed: int
) -> list[Merged]:
    """Σ w_i · (the ``density`` largest entries of matrix i below its ``gamma`` largest), or their elected mean."""
    return merge_in_space(stacks, rank, options, seed, partial(_combine, options=options))


def band(matrix: Tensor, density: float, gamma: float) -> Tensor:
    """The smallest and the largest size that are kept of one matrix, (2,).

    Where ``density`` and ``gamma`` together exceed 1, fewer outliers are dropped; at density 1 none.
    """
    count = matrix.numel()
    keep = kept_count(count, density)
    lowest = max(0, count - keep - int(gamma * count))
    return order_statistics(matrix.abs(), lowest, lowest + keep - 1)


def _combine(updates: Updates, options: BreadcrumbsOptions) -> Tensor:
    limits = updates.measure(lambda matrix: band(matrix, options.density, options.gamma))  # (K, 2)
    low, high = limits[:, 0, None, None], limits[:, 1, None, None]

    def merge(values: Tensor) -> Tensor:
        sizes = values.abs()
        kept = torch.where((sizes >= low) & (sizes <= high), values, 0.0)
        if not options.elect_signs:
            return weighted_sum(kept, updates.weights)
        return resolve_signs(kept, updates.weights, options.majority, options.average, updates.as_peft)

    return updates.merge(merge)
