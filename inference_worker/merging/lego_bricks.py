"""LoRA-LEGO's bricks: one new rank per cluster, with both reweightings of the paper (section 3.3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from inference_worker.contracts.clusters import describe_bricks
from inference_worker.contracts.merge_methods import LegoOptions
from inference_worker.merging.lego_units import Units
from inference_worker.merging.stack import Merged, ModuleStack


@dataclass(frozen=True)
class Partition:
    """One module's clusters: per unit the cluster (n,) int64 and the sign (n,) float64; the relative inertia."""

    assignment: Tensor
    sign: Tensor
    inertia: float


def no_bricks(stack: ModuleStack) -> Merged:
    """All units are zero: one zero rank."""
    a, b = stack.A.new_zeros(1, stack.A.shape[1]), stack.B.new_zeros(stack.B.shape[0], 1)
    lists: dict[str, list[float]] = {key: [] for key in ("adapter", "unit", "cluster", "size", "purity", "isolated")}
    return Merged(a, b, detail={**lists, "inertia": 0.0})


def build_bricks(stack: ModuleStack, units: Units, part: Partition, options: LegoOptions) -> Merged:
    """Centroids as combinations of the stored rows and columns."""
    assignment = _numbered_by_largest(part.assignment)
    count, points = int(assignment.max()) + 1, len(units.order)
    mean = units.mass.new_zeros(count, points)
    mean[assignment, torch.arange(points, device=mean.device)] = part.sign * units.mass
    mean /= mean.abs().sum(dim=1, keepdim=True)
    fold_a, fold_b = mean.new_zeros(count, stack.size), mean.new_zeros(count, stack.size)
    fold_a[:, units.order] = mean * units.factor_a
    fold_b[:, units.order] = mean * units.factor_b
    gain = _parameter_gain(stack, units, mean, fold_a, fold_b, options).unsqueeze(1)
    # √(r/k) on the product is its fourth root on each factor.
    ratio = sum(stack.ranks) / len(stack.ranks) * (points / stack.size) / count
    if options.output_reweighting == "always" or (options.output_reweighting == "growing" and ratio > 1.0):
        gain = gain * ratio**0.25
    detail = _detail(stack, units, assignment, part.inertia)
    return Merged((gain * fold_a).float() @ stack.A, stack.B @ (gain * fold_b).float().T, detail=detail)


def _numbered_by_largest(assignment: Tensor) -> Tensor:
    """Clusters numbered by their first unit, which is their largest, so that equal inputs in another order give equal
    bytes."""
    numbers: dict[int, int] = {}
    renamed = [numbers.setdefault(label, len(numbers)) for label in assignment.tolist()]
    return torch.tensor(renamed, dtype=torch.int64, device=assignment.device)


def _detail(stack: ModuleStack, units: Units, assignment: Tensor, inertia: float) -> dict[str, object]:
    adapter, cluster = stack.owner[units.order].tolist(), assignment.tolist()
    return {
        "adapter": adapter,
        "unit": _places(stack.ranks, units.order.tolist()),
        "cluster": cluster,
        "size": [float(f"{value:.4g}") for value in units.sizes.tolist()],
        "inertia": float(f"{inertia:.6g}"),
        **describe_bricks(adapter, cluster),
    }


def _places(ranks: Sequence[int], rows: Sequence[int]) -> list[int]:
    """Which rank of its own adapter each row of the stack is."""
    own = [unit for rank in ranks for unit in range(rank)]
    return [own[row] for row in rows]


def _parameter_gain(
    stack: ModuleStack, units: Units, mean: Tensor, fold_a: Tensor, fold_b: Tensor, options: LegoOptions
) -> Tensor:
    """The factor that brings every centroid back to the mean norm of its members; (k,)."""
    if options.parameter_reweighting == "none":
        return torch.ones_like(mean[:, 0])
    if options.parameter_reweighting == "l2":
        own = units.sizes
        reached = (mean * (mean @ units.gram)).sum(dim=1).clamp_min(0.0).sqrt()
    else:
        largest_a = stack.A.abs().amax(dim=1)[units.order].double() * units.factor_a
        largest_b = stack.B.abs().amax(dim=0)[units.order].double() * units.factor_b.abs()
        own = torch.maximum(largest_a, largest_b)
        centre_a = (fold_a.float() @ stack.A).abs().amax(dim=1)
        centre_b = (stack.B @ fold_b.float().T).abs().amax(dim=0)
        reached = torch.maximum(centre_a, centre_b).double()
    wanted = mean.abs() @ own  # |mean| holds the members' shares of the mass
    return torch.where(reached > 0.0, wanted / reached, 1.0)
