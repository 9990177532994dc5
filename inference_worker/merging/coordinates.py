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
    trim,
    weighted_sum,
)
from inference_worker.merging.iso_c import flatten
from inference_worker.merging.stack import Merged, ModuleStack

#: A total of votes below this share of their sizes is rounding: coordinates come from singular vectors.
CANCELLED = 1e-5


def merge_values(stack: ModuleStack, values: Tensor, weights: Tensor, options: CoordinateOptions, seed: int) -> Tensor:
    """Merge (K, rows, cols) without weights into (rows, cols) as ``options.merge`` says."""
    if options.merge == "sum":
        return weighted_sum(values, weights)
    if options.merge == "ties":
        return _resolve(trim(values, options.density), weights)
    uniforms = Uniforms(seed, stack.name, adapter_identities(stack), values.shape[2])
    dropped = drop_at_random(values, uniforms.take(values.shape[1], values.device), options.density)
    return _resolve(dropped, weights) if options.merge == "dare_ties" else weighted_sum(dropped, weights)


def _resolve(kept: Tensor, weights: Tensor) -> Tensor:
    """Elect signs and average those that agree; where the votes cancel, nobody wins and nothing stays."""
    votes = kept * weights[:, None, None]
    decided = votes.sum(dim=0).abs() > CANCELLED * votes.abs().sum(dim=0)
    return resolve_signs(kept * decided, weights)


def finish(
    stack: ModuleStack, left: Basis, right: Basis, matrix: Tensor, rank: int | None, options: CoordinateOptions
) -> Merged:
    """Back to factors of the wanted rank, all of one strength if asked."""
    end = flatten if options.isotropic else truncate
    return end(stack, left, right, matrix, rank)
