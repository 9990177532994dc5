"""``slerp``: spherical interpolation between two adapters (Shoemake, 1985), module by module."""

from __future__ import annotations

import math
from collections.abc import Sequence

from inference_worker.contracts.merge_methods.spectral import SlerpOptions
from inference_worker.merging.core import Core, truncate
from inference_worker.merging.stack import Merged, ModuleStack

#: From this cosine on, two updates count as parallel and are interpolated in a straight line, as in mergekit.
PARALLEL = 0.9995


def merge_slerp(stacks: Sequence[ModuleStack], rank: int | None, options: SlerpOptions, seed: int) -> list[Merged]:
    """(sin((1−t)θ)·w_1Δ_1 + sin(tθ)·w_2Δ_2) / sin θ, θ being the angle between w_1Δ_1 and w_2Δ_2.

    With ``norms`` "linear" the formula turns unit directions, and the size is (1−t)·‖w_1Δ_1‖ + t·‖w_2Δ_2‖. An update
    that is zero or absent has no direction: there, and between parallel ones, the line (1−t)·w_1Δ_1 + t·w_2Δ_2 is
    taken. The rank is at most the sum of both.
    """
    return [_merge_one(stack, rank, options) for stack in stacks]


def _merge_one(stack: ModuleStack, rank: int | None, options: SlerpOptions) -> Merged:
    core = Core.of(stack)
    if len(stack.ranks) == 1:
        alone = 1.0 - options.t if int(stack.owner[0]) == stack.first_member else options.t
        return truncate(stack, core.left, core.right, core.total() * alone, rank)
    inner = core.inner_products() * core.weights.outer(core.weights)
    first, second = math.sqrt(float(inner[0, 0])), math.sqrt(float(inner[1, 1]))
    cosine = float(inner[0, 1]) / (first * second) if first * second > 0.0 else 1.0
    parts = _factors(options.t, cosine)
    if options.norms == "linear" and abs(cosine) <= PARALLEL:
        size = (1.0 - options.t) * first + options.t * second
        parts = (parts[0] * size / first, parts[1] * size / second)
    matrix = core.combine(core.weights * core.weights.new_tensor(parts))
    return truncate(stack, core.left, core.right, matrix, rank)


def _factors(t: float, cosine: float) -> tuple[float, float]:
    if abs(cosine) > PARALLEL:
        return 1.0 - t, t
    angle = math.acos(cosine)
    return math.sin((1.0 - t) * angle) / math.sin(angle), math.sin(t * angle) / math.sin(angle)
