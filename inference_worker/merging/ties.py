"""``ties``: trim, elect signs, disjoint mean (Yadav et al., NeurIPS 2023, arXiv 2306.01708)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from torch import Tensor

from inference_worker.contracts.merge_methods.elementwise import TiesOptions
from inference_worker.merging.elementwise import drop_below, resolve_signs, smallest_kept
from inference_worker.merging.spaces import Updates, merge_in_space
from inference_worker.merging.stack import Merged, ModuleStack


def merge_ties(stacks: Sequence[ModuleStack], rank: int | None, options: TiesOptions, seed: int) -> list[Merged]:
    """The ``density`` largest entries of each whole matrix; per entry the mean of w·value where signs agree."""
    return merge_in_space(stacks, rank, options, seed, partial(_combine, options=options))


def _combine(updates: Updates, options: TiesOptions) -> Tensor:
    limits = updates.measure(lambda matrix: smallest_kept(matrix, options.density))

    def merge(values: Tensor) -> Tensor:
        kept = drop_below(values, limits)
        return resolve_signs(kept, updates.weights, options.majority, options.average, updates.as_peft)

    return updates.merge(merge)
