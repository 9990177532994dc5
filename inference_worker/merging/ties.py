"""``ties``: trim, elect signs, disjoint mean (Yadav et al., NeurIPS 2023, arXiv 2306.01708)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from torch import Tensor

from inference_worker.contracts.merge_methods.elementwise import TiesOptions
from inference_worker.merging.elementwise import drop_below, resolve_signs
from inference_worker.merging.spaces import Updates, merge_in_space, updates_in_space
from inference_worker.merging.stack import Merged, ModuleStack
from inference_worker.merging.trimming import limited, trim_limits


def merge_ties(stacks: Sequence[ModuleStack], rank: int | None, options: TiesOptions, seed: int) -> list[Merged]:
    """The ``density`` largest entries of each adapter; per entry the mean of w·value where signs agree."""
    trimmed = limited(stacks, options, partial(updates_in_space, options=options, seed=seed))
    return merge_in_space(trimmed, rank, options, seed, partial(_combine, options=options))


def _combine(updates: Updates, options: TiesOptions) -> Tensor:
    limits = trim_limits(updates, options)

    def merge(values: Tensor) -> Tensor:
        kept = drop_below(values, limits)
        return resolve_signs(kept, updates.weights, options.majority, options.average, updates.as_peft)

    return updates.merge(merge)
