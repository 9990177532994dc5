"""``della``: drop at random by rank of size, elect, fuse (Deep et al., 2024, arXiv 2406.11617)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from inference_worker.contracts.merge_methods.elementwise import DellaOptions
from inference_worker.merging.elementwise import order_by_size, resolve_signs, weighted_sum
from inference_worker.merging.random_drop import dropped_blocks
from inference_worker.merging.spaces import Updates, merge_in_space
from inference_worker.merging.stack import Merged, ModuleStack


def merge_della(stacks: Sequence[ModuleStack], rank: int | None, options: DellaOptions, seed: int) -> list[Merged]:
    """Within each row the larger an entry, the likelier it stays; entries are divided by their probability."""
    return merge_in_space(stacks, rank, options, seed, partial(_combine, options=options))


def keep_probabilities(values: Tensor, density: float, epsilon: float) -> Tensor:
    """From density − ε/2 for the smallest entry of a row to density + ε/2 for the largest, evenly by rank.

    The mean is the density. The paper's probabilities (section 3.1) step by ε/n instead of ε/(n−1), which leaves the
    largest of n entries ε/(2n) off the middle. values: (…, n); so is the result.
    """
    if density >= 1.0:
        return torch.ones_like(values)
    length = values.shape[-1]
    if length == 1:
        return torch.full_like(values, density)
    order = order_by_size(values)
    ends = density - epsilon / 2, density + epsilon / 2
    steps = torch.linspace(*ends, length, dtype=values.dtype, device="cpu")  # the same bits for every device
    return torch.empty_like(values).scatter_(-1, order, steps.to(values.device).expand_as(values))


def _combine(updates: Updates, options: DellaOptions) -> Tensor:
    def keep(values: Tensor) -> Tensor:
        return keep_probabilities(values, options.density, options.epsilon)

    def fuse(values: Tensor) -> Tensor:
        if not options.elect_signs:
            return weighted_sum(values, updates.weights)
        return resolve_signs(values, updates.weights, options.majority, options.average, updates.as_peft)

    blocks = dropped_blocks(updates, keep, options.rescale)
    return updates.collect((rows, fuse(values)) for rows, values in blocks)
