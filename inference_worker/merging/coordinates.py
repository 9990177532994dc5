"""Elementwise merges of what adapters are in shared coordinates: the second half of KnOTS and of core space."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import Tensor

from inference_worker.contracts.merge_methods.spectral import CoordinateOptions
from inference_worker.merging.core import Basis, truncate
from inference_worker.merging.elementwise import (
    Uniforms,
    adapter_identities,
    drop_below,
    resolve_signs,
    weighted_sum,
)
from inference_worker.merging.iso_c import flatten
from inference_worker.merging.random_drop import dropped_blocks
from inference_worker.merging.spaces import Updates
from inference_worker.merging.stack import Merged, ModuleStack
from inference_worker.merging.trimming import trim_limits

#: Coordinates of an adapter without its weight: (adapter, rows) -> (rows, cols).
Part = Callable[[int, slice], Tensor]


def updates_of(stack: ModuleStack, part: Part, shape: tuple[int, int], weights: Tensor, seed: int) -> Updates:
    """The K matrices of this shape, made when they are asked for."""
    draw = partial(Uniforms, seed, stack.name, adapter_identities(stack), shape[1])
    limits = stack.limits.get("", weights.new_empty(0))
    return Updates(part, weights, *shape, draw, members=len(weights), owners=stack.members, limits=limits)


def trims(options: CoordinateOptions) -> bool:
    """Whether only the largest numbers are kept."""
    return options.merge == "ties"


def merge_coordinates(updates: Updates, options: CoordinateOptions) -> Tensor:
    """Merge K matrices into one as ``options.merge`` says, some rows of all of them at a time."""
    weights = updates.weights
    if trims(options):
        limits = trim_limits(updates, options)
        return updates.merge(lambda values: resolve_signs(drop_below(values, limits), weights))
    if options.merge == "sum":
        return updates.merge(lambda values: weighted_sum(values, weights))
    combine = resolve_signs if options.merge == "dare_ties" else weighted_sum
    blocks = dropped_blocks(updates, lambda values: options.density, "probability")
    return updates.collect((rows, combine(values, weights)) for rows, values in blocks)


def finish(
    stack: ModuleStack, left: Basis, right: Basis, matrix: Tensor, rank: int | None, options: CoordinateOptions
) -> Merged:
    """Back to factors of the wanted rank, all of one strength if asked."""
    end = flatten if options.isotropic else truncate
    return end(stack, left, right, matrix, rank)
