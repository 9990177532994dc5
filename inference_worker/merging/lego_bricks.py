"""LoRA-LEGO's bricks: one new rank per cluster, with both reweightings of the paper (section 3.3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from inference_worker.contracts.clusters import describe_bricks
from inference_worker.contracts.merge_methods import LegoOptions
from inference_worker.merging.lego_units import Units
from inference_worker.merging.stack import Merged, ModuleStack, product, squared_norms


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


class _Folds(NamedTuple):
    """Which combination of a module's rows and columns makes its centroids."""

    assignment: Tensor  # (n,) int64, clusters numbered by their first unit
    share: Tensor  # (n,) of each unit in its cluster's mass
    rows: Tensor  # (k, Σr): centroids in A are rows · A
    columns: Tensor  # (Σr, k): centroids in B are B · columns


def build_bricks(
    stacks: Sequence[ModuleStack], units: Sequence[Units], parts: Sequence[Partition], options: LegoOptions
) -> list[Merged]:
    """Centroids of every module as combinations of the stored rows and columns, reweighted."""
    folds = [_fold(*module) for module in zip(stacks, units, parts, strict=True)]
    centroids = [_centroids(stack, fold) for stack, fold in zip(stacks, folds, strict=True)]
    return [_finish(*module, options) for module in zip(stacks, units, parts, folds, centroids, strict=True)]


def _fold(stack: ModuleStack, units: Units, part: Partition) -> _Folds:
    assignment = _numbered_by_largest(part.assignment)
    count = int(assignment.max()) + 1
    total = units.mass.new_zeros(count).index_add_(0, assignment, units.mass)
    share = units.mass / total[assignment]
    turned = share * part.sign
    rows, columns = stack.A.new_zeros(count, stack.size), stack.A.new_zeros(stack.size, count)
    rows[assignment, units.order] = (turned * units.factor_a).to(rows)
    columns[units.order, assignment] = (turned * units.factor_b).to(columns)
    return _Folds(assignment, share, rows, columns)


def _centroids(stack: ModuleStack, folds: _Folds) -> tuple[Tensor, Tensor, Tensor]:
    """The parts of all centroids in A (k, d_in) and in B (d_out, k), and their lengths (k,) float64."""
    a, b = product(folds.rows, stack.A), product(stack.B, folds.columns)
    return a, b, (squared_norms(a) + squared_norms(b.T)).sqrt()


def _finish(
    stack: ModuleStack,
    units: Units,
    part: Partition,
    folds: _Folds,
    centroids: tuple[Tensor, Tensor, Tensor],
    options: LegoOptions,
) -> Merged:
    """Both reweightings, and what the report says."""
    (a, b, length), assignment = centroids, folds.assignment
    wanted = torch.zeros_like(length).index_add_(0, assignment, folds.share * _own_norms(stack, units, options))
    gain = _parameter_gain(wanted, centroids, options)
    # √(r/k) on the product is its fourth root on each factor.
    ratio = sum(stack.ranks) / len(stack.ranks) * (len(units.order) / stack.size) / len(length)
    if options.output_reweighting == "always" or (options.output_reweighting == "growing" and ratio > 1.0):
        gain = gain * ratio**0.25
    inertia = part.inertia if units.exact else _inertia(units, assignment, length)
    factor = gain.to(a)
    return Merged(a.mul_(factor.unsqueeze(1)), b.mul_(factor), detail=_detail(stack, units, assignment, inertia))


def _inertia(units: Units, assignment: Tensor, length: Tensor) -> float:
    """What clusters with centroids of this ``length`` (k,) lose of the units' squared size, 0 to 1."""
    kept = float(units.mass @ length[assignment].square())
    return max(0.0, 1.0 - kept / float(units.mass @ units.sizes.square()))


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


def _own_norms(stack: ModuleStack, units: Units, options: LegoOptions) -> Tensor:
    """Every unit's norm, as the parameter reweighting measures it; (n,)."""
    if options.parameter_reweighting != "inf":
        return units.sizes
    largest_a = stack.A.abs().amax(dim=1)[units.order].double() * units.factor_a
    largest_b = stack.B.abs().amax(dim=0)[units.order].double() * units.factor_b.abs()
    return torch.maximum(largest_a, largest_b)


def _parameter_gain(wanted: Tensor, centroids: tuple[Tensor, Tensor, Tensor], options: LegoOptions) -> Tensor:
    """The factor that brings every centroid to the ``wanted`` norm, the mean of its members; both (k,).

    ``centroids``: the parts of all in A (k, d_in) and in B (d_out, k), and their lengths (k,).
    """
    a, b, reached = centroids
    if options.parameter_reweighting == "none":
        return torch.ones_like(reached)
    if options.parameter_reweighting == "inf":
        reached = torch.maximum(a.abs().amax(dim=1), b.abs().amax(dim=0)).double()
    return torch.where(reached > 0.0, wanted / reached, 1.0)
