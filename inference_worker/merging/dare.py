"""``dare_linear`` and ``dare_ties``: drop at random and rescale (Yu et al., ICML 2024, arXiv 2311.03099)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from torch import Tensor

from inference_worker.contracts.merge_methods.elementwise import DareLinearOptions, DareTiesOptions
from inference_worker.merging.elementwise import resolve_signs, weighted_sum
from inference_worker.merging.random_drop import dropped_blocks
from inference_worker.merging.spaces import Updates, merge_in_space
from inference_worker.merging.stack import Merged, ModuleStack


def merge_dare_linear(
    stacks: Sequence[ModuleStack], rank: int | None, options: DareLinearOptions, seed: int
) -> list[Merged]:
    """Σ w_i · mask_i · matrix_i / density; every entry of mask_i is 1 with probability ``density``."""
    return merge_in_space(stacks, rank, options, seed, partial(_linear, options=options))


def merge_dare_ties(
    stacks: Sequence[ModuleStack], rank: int | None, options: DareTiesOptions, seed: int
) -> list[Merged]:
    """The same masks; then signs are elected and what agrees is averaged, as in TIES."""
    return merge_in_space(stacks, rank, options, seed, partial(_ties, options=options))


def _linear(updates: Updates, options: DareLinearOptions) -> Tensor:
    blocks = dropped_blocks(updates, lambda values: options.density, options.rescale)
    return updates.collect((rows, weighted_sum(values, updates.weights)) for rows, values in blocks)


def _ties(updates: Updates, options: DareTiesOptions) -> Tensor:
    def resolve(values: Tensor) -> Tensor:
        return resolve_signs(values, updates.weights, options.majority, options.average, updates.as_peft)

    blocks = dropped_blocks(updates, lambda values: options.density, options.rescale)
    return updates.collect((rows, resolve(values)) for rows, values in blocks)
