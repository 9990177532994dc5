"""``magnitude_prune``: the largest entries of each adapter, added up (PEFT ``magnitude_prune``)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from torch import Tensor

from inference_worker.contracts.merge_methods.elementwise import MagnitudePruneOptions
from inference_worker.merging.elementwise import drop_below, weighted_sum
from inference_worker.merging.spaces import Updates, merge_in_space, updates_in_space
from inference_worker.merging.stack import Merged, ModuleStack
from inference_worker.merging.trimming import limited, trim_limits


def merge_magnitude_prune(
    stacks: Sequence[ModuleStack], rank: int | None, options: MagnitudePruneOptions, seed: int
) -> list[Merged]:
    """Σ w_i · (the ``density`` largest entries of adapter i)."""
    trimmed = limited(stacks, options, partial(updates_in_space, options=options, seed=seed))
    return merge_in_space(trimmed, rank, options, seed, partial(_combine, options=options))


def _combine(updates: Updates, options: MagnitudePruneOptions) -> Tensor:
    limits = trim_limits(updates, options)
    return updates.merge(lambda values: weighted_sum(drop_below(values, limits), updates.weights))
