"""Elementwise merges of what adapters are in shared coordinates: the second half of KnOTS and of core space."""

from __future__ import annotations

from torch import Tensor

from inference_worker.contracts.merge_methods.spectral import CoordinateOptions
from inference_worker.merging.core import Basis, truncate
from inference_worker.merging.elementwise import (
    Uniforms,
    adapter_identities,
    drop_at_random,
    resolve_signs,
    ties,
    weighted_sum,
)
from inference_worker.merging.iso_c import flatten
from inference_worker.merging.stack import Merged, ModuleStack


def merge_values(stack: ModuleStack, values: Tensor, weights: Tensor, options: CoordinateOptions, seed: int) -> Tensor:
    """Merge (K, rows, cols) without weights into (rows, cols) as ``options.merge`` says."""
    if options.merge == "ties":
        return ties(values, weights, options.density)
    if options.merge == "sum":
        return weighted_sum(values, weights)
    uniforms = Uniforms(seed, stack.name, adapter_identities(stack), values.shape[2])
    dropped = drop_at_random(values, uniforms.take(values.shape[1], values.device), options.density)
    return resolve_signs(dropped, weights) if options.merge == "dare_ties" else weighted_sum(dropped, weights)


def finish(
    stack: ModuleStack, left: Basis, right: Basis, matrix: Tensor, rank: int | None, options: CoordinateOptions
) -> Merged:
    """Back to factors of the wanted rank, all of one strength if asked."""
    end = flatten if options.isotropic else truncate
    return end(stack, left, right, matrix, rank)
