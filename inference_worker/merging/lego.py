"""``lego``: LoRA-LEGO (Zhao et al., ICLR 2025, arXiv 2409.16167): cluster rank-one units, one new rank per cluster.

Units are made in ``lego_units``, joined here by k-means on their Gram matrices, and built into new ranks in
``lego_bricks``. Vectors are touched twice only: for the Gram matrix and for the final centroids.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from inference_worker.contracts.merge_methods import LegoOptions
from inference_worker.merging.hartigan import refine
from inference_worker.merging.hierarchy import WardStart
from inference_worker.merging.kmeans import Points, RandomStart, count_distinct
from inference_worker.merging.lego_bricks import Partition, build_bricks, no_bricks
from inference_worker.merging.lego_units import Units, make_units
from inference_worker.merging.seeding import module_generator
from inference_worker.merging.stack import Merged, ModuleStack

#: Clusters to begin with: ``begin(points, clusters)`` gives assignment and signs.
Start = WardStart | RandomStart

#: Rounding of the float32 inertia, so that a budget of 1 can be met.
ROUNDING = 1e-6
#: Candidates for every seed of k-means, as many as scikit-learn takes for 8 to 20 clusters.
CANDIDATES = 4


def merge_lego(stacks: Sequence[ModuleStack], rank: int | None, options: LegoOptions, seed: int) -> list[Merged]:
    """Cluster every module's units into ``rank`` clusters (default: the largest rank) and build one rank per cluster.

    The rank is clamped per module to the number of distinct units. With an inertia budget it is the smallest that
    keeps the budget, at most ``rank`` (default: no limit). Detail per module: which unit of which adapter is in which
    cluster, sizes of the units, purity, isolated bricks and the inertia relative to the total.
    """
    units = make_units(stacks, options)
    pairs = zip(stacks, units, strict=True)
    results: list[Merged | None] = [None if len(item.order) else no_bricks(stack) for stack, item in pairs]
    busy = [index for index, result in enumerate(results) if result is None]
    if busy:
        names = [stacks[index].name for index in busy]
        most = [_most(stacks[index], rank, options) for index in busy]
        parts = _partitions(names, [units[index] for index in busy], most, options, seed)
        built = build_bricks([stacks[index] for index in busy], [units[index] for index in busy], parts, options)
        for index, merged in zip(busy, built, strict=True):
            results[index] = merged
    return [result for result in results if result is not None]


def _most(stack: ModuleStack, rank: int | None, options: LegoOptions) -> int:
    return rank or (stack.size if options.inertia_budget else max(stack.ranks))


def _partitions(
    names: Sequence[str], units: Sequence[Units], most: Sequence[int], options: LegoOptions, seed: int
) -> list[Partition]:
    """Run k-means on all modules at once, padded to the largest."""
    points = _pad(units, options)
    clusters = torch.minimum(torch.tensor(most, device=points.mass.device), count_distinct(points))
    start = _start(names, points, int(clusters.max()), options, seed)
    if options.inertia_budget:
        clusters = _smallest_counts(points, clusters, start, options)
    result = refine(points, *start.begin(points, clusters), clusters)
    inertia = result.inertia / points.total()
    return [
        Partition(result.assignment[i, :count], result.sign[i, :count].double(), float(inertia[i]))
        for i, count in enumerate(len(item.order) for item in units)
    ]


def _start(names: Sequence[str], points: Points, most: int, options: LegoOptions, seed: int) -> Start:
    if options.start == "ward":
        return WardStart.of(points)
    shape = (most, options.restarts, CANDIDATES)
    # A module's numbers do not depend on what else is in its batch: the first j rows are the same for every k.
    drawn = [torch.from_numpy(module_generator(seed, name).random(shape)).transpose(0, 1) for name in names]
    return RandomStart(torch.stack(drawn).to(points.mass.device), options.iterations)


def _pad(units: Sequence[Units], options: LegoOptions) -> Points:
    """The modules' Gram matrices and masses in one batch of float32, filled up with zeros."""
    largest = max(len(item.order) for item in units)
    device = units[0].likeness.device
    grams = torch.zeros(len(units), largest, largest, device=device)
    mass = torch.zeros(len(units), largest, device=device)
    for index, item in enumerate(units):
        count = len(item.order)
        # To a mean squared size of 1, so that float32 serves tiny and huge updates alike.
        grams[index, :count, :count] = item.likeness / item.likeness.diagonal().mean()
        mass[index, :count] = item.mass / item.mass.mean()
    return Points(grams, mass, mirrored=options.align_signs)


def _smallest_counts(points: Points, most: Tensor, start: Start, options: LegoOptions) -> Tensor:
    """The smallest number of clusters per module that keeps the budget; ``most`` where none does. (m,)

    Bisection, all modules at once: what k-means keeps grows with the number of clusters, because more clusters start
    from those of fewer, some of them taken apart, or from the seeds of fewer and more.
    """
    low, high = torch.ones_like(most), most.clone()
    total = points.total()
    while bool((low < high).any()):
        open_ = low < high
        middle = ((low + high) // 2)[open_]
        some = points.choose(open_)
        tried = refine(some, *start.choose(open_).begin(some, middle), middle)
        enough = 1.0 - tried.inertia / total[open_] >= options.inertia_budget - ROUNDING
        high[open_] = torch.where(enough, middle, high[open_])
        low[open_] = torch.where(enough, low[open_], middle + 1)
    return high
