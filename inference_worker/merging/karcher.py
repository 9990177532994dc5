"""``karcher``: the Riemannian mean of the adapters' directions on the unit sphere, at the mean of their sizes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from inference_worker.contracts.merge_methods.spectral import KarcherOptions
from inference_worker.merging.core import Core, truncate
from inference_worker.merging.stack import Merged, ModuleStack

#: A step on the sphere (in radians) below which the mean stands still, and the length below which directions cancel.
STILL = 1e-9
CANCELLED = 1e-6


def merge_karcher(stacks: Sequence[ModuleStack], rank: int | None, options: KarcherOptions, seed: int) -> list[Merged]:
    """The point with the least Σ α_i·angle² to the directions ±Δ_i/‖Δ_i‖, times Σ α_i·‖Δ_i‖.

    α_i = |w_i|/Σ|w| over all adapters that are merged; a negative weight turns its direction round. An update that is
    zero or absent has no direction and counts as size 0. Directions that cancel out leave nothing: they have no mean.
    The mean is a combination of the updates, so that it is found on their inner products alone.
    """
    return [_merge_one(stack, rank, options) for stack in stacks]


def _merge_one(stack: ModuleStack, rank: int | None, options: KarcherOptions) -> Merged:
    core = Core.of(stack)
    inner = core.inner_products()
    norms = inner.diagonal().clamp_min(0.0).sqrt()
    alpha = core.weights.abs() / stack.total_weight
    turn = torch.where(norms > 0.0, core.weights.sign() / norms.clamp_min(torch.finfo(norms.dtype).tiny), 0.0)
    mean = _mean(inner * turn.outer(turn), alpha * (norms > 0.0), options.iterations)
    return truncate(stack, core.left, core.right, core.combine(mean * turn * (alpha @ norms)), rank)


def _mean(gram: Tensor, alpha: Tensor, iterations: int) -> Tensor:
    """Coefficients of the mean of unit vectors with this Gram matrix; (K,). Zeros where the vectors cancel out."""
    share = alpha / alpha.sum() if bool(alpha.any()) else alpha
    length = float(share @ gram @ share) ** 0.5
    if length < CANCELLED:
        return torch.zeros_like(share)
    mean = share / length
    for _ in range(iterations):
        cosine = (gram @ mean).clamp(-1.0, 1.0)
        angle = cosine.arccos()
        stretch = torch.where(angle > CANCELLED, angle / angle.sin().clamp_min(CANCELLED), 1.0)
        pull = share * stretch  # the logarithm of u_i at the mean is stretch·(u_i − cosine·mean)
        tangent = pull - (pull @ cosine) * mean
        step = float((tangent @ gram @ tangent).clamp_min(0.0)) ** 0.5
        if step < STILL:
            break
        angle_of_step = gram.new_tensor(step)
        mean = angle_of_step.cos() * mean + angle_of_step.sin() / step * tangent
        mean = mean / float(mean @ gram @ mean) ** 0.5
    return mean
