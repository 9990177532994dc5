"""``lego``: LoRA-LEGO (Zhao et al., ICLR 2025, arXiv 2409.16167): cluster rank-one units, one new rank per cluster.

A unit is row a_i of A with column b_i of B. Scales and weights are folded in (the sign onto b), each unit is balanced
to ‖a‖ = ‖b‖, units are ordered by size, and signs are aligned while clustering (see ``kmeans``): all of this because
permuting ranks, rescaling (c·a, b/c) and mirroring (−a, −b) leave Δ alone and must leave the result alone. Vectors are
touched twice only: for the Gram matrix and for the final centroids.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from inference_worker.contracts.merge_methods import LegoOptions
from inference_worker.merging.kmeans import cluster, count_distinct
from inference_worker.merging.seeding import module_generator
from inference_worker.merging.stack import Merged, ModuleStack, gram

#: Sizes closer than this count as tied and are ordered by content, so that rounding never decides the order.
TIE = 1e-5


@dataclass
class _Units:
    """One module's units in canonical order: ``order`` maps positions to rows of the stack."""

    order: Tensor  # (n,) int64, zero units left out
    factor_a: Tensor  # (n,) float64: a' = factor_a · a
    factor_b: Tensor  # (n,) float64: b' = factor_b · b, carries the sign
    gram: Tensor  # (n, n) float64, inner products of (a', b')
    sizes: Tensor  # (n,) float64, ‖(a', b')‖


def merge_lego(stacks: Sequence[ModuleStack], rank: int | None, options: LegoOptions, seed: int) -> list[Merged]:
    """Cluster every module's units into ``rank`` clusters (default: the largest rank) and build one rank per cluster.

    The rank is clamped per module to the number of distinct units. Detail per module: which unit of which adapter is
    in which cluster, sizes of the units and the inertia relative to the total.
    """
    units = [_prepare(stack) for stack in stacks]
    pairs = zip(stacks, units, strict=True)
    results: list[Merged | None] = [None if len(item.order) else _nothing(stack) for stack, item in pairs]
    busy = [index for index, result in enumerate(results) if result is None]
    if busy:
        wanted = [rank or max(stacks[index].ranks) for index in busy]
        clustered = _cluster([stacks[i] for i in busy], [units[i] for i in busy], wanted, options, seed)
        for index, (assignment, sign, inertia) in zip(busy, clustered, strict=True):
            results[index] = _build(stacks[index], units[index], assignment, sign, inertia, options)
    return [result for result in results if result is not None]


def _nothing(stack: ModuleStack) -> Merged:
    """All units are zero: one zero rank."""
    a, b = torch.zeros(1, stack.A.shape[1]), torch.zeros(stack.B.shape[0], 1)
    return Merged(a, b, detail={"adapter": [], "unit": [], "cluster": [], "size": [], "inertia": 0.0})


def _prepare(stack: ModuleStack) -> _Units:
    gram_a, gram_b = gram(stack)
    norm_a, norm_b = gram_a.diagonal().clamp_min(0.0).sqrt(), gram_b.diagonal().clamp_min(0.0).sqrt()
    size = stack.scale.abs() * norm_a * norm_b  # ‖Δ of the unit‖
    order = _order(stack, size)
    root = stack.scale.abs().sqrt()
    balance = (norm_b / norm_a).nan_to_num(0.0, 0.0, 0.0).sqrt()
    factor_a = (root * balance)[order]
    factor_b = (root * stack.scale.sign() / balance)[order]
    inner = gram_a[order][:, order] * torch.outer(factor_a, factor_a)
    inner += gram_b[order][:, order] * torch.outer(factor_b, factor_b)
    return _Units(order, factor_a, factor_b, inner, inner.diagonal().sqrt())


def _order(stack: ModuleStack, size: Tensor) -> Tensor:
    """Rows by size, largest first; ties by a digest of their content. Zero units are left out."""
    present = (size > 0.0).nonzero().squeeze(1)
    ranked = present[size[present].argsort(descending=True, stable=True)].tolist()
    start = 0
    for end in range(1, len(ranked) + 1):
        tied = end < len(ranked) and float(size[ranked[end - 1]] - size[ranked[end]]) <= TIE * float(
            size[ranked[start]]
        )
        if tied:
            continue
        if end - start > 1:
            ranked[start:end] = sorted(ranked[start:end], key=lambda row: _digest(stack, row))
        start = end
    return torch.tensor(ranked, dtype=torch.int64)


def _digest(stack: ModuleStack, row: int) -> bytes:
    """A digest of one unit's content, the same for (a, b) and (−a, −b)."""
    a, b = stack.A[row], stack.B[:, row].contiguous()
    orientation = a[a.abs().argmax()] * b[b.abs().argmax()] * stack.scale[row].sign()
    digest = hashlib.sha256(a.abs().numpy().tobytes())
    digest.update(b.abs().numpy().tobytes())
    return digest.digest() + (b"+" if orientation > 0 else b"-")


def _cluster(
    stacks: Sequence[ModuleStack], units: Sequence[_Units], wanted: list[int], options: LegoOptions, seed: int
) -> list[tuple[Tensor, Tensor, float]]:
    """Run k-means on all modules at once, padded to the largest: (assignment, sign, relative inertia) per module."""
    points = max(len(item.order) for item in units)
    grams = torch.zeros(len(units), points, points)
    valid = torch.zeros(len(units), points, dtype=torch.bool)
    for index, item in enumerate(units):
        count = len(item.order)
        inner = item.gram / torch.outer(item.sizes, item.sizes) if options.normalise else item.gram
        # To a mean squared size of 1, so that float32 serves tiny and huge updates alike.
        grams[index, :count, :count] = inner / inner.diagonal().mean()
        valid[index, :count] = True
    clusters = torch.minimum(torch.tensor(wanted), count_distinct(grams, valid))
    width = int(clusters.max())
    uniforms = torch.stack(
        [torch.from_numpy(module_generator(seed, stack.name).random((options.restarts, width))) for stack in stacks]
    )
    result = cluster(grams, valid, clusters, uniforms, options.iterations)
    parts = []
    for index, item in enumerate(units):
        count = len(item.order)
        inertia = float(result.inertia[index]) / count
        parts.append((result.assignment[index, :count], result.sign[index, :count].double(), inertia))
    return parts


def _build(
    stack: ModuleStack, units: _Units, assignment: Tensor, sign: Tensor, inertia: float, options: LegoOptions
) -> Merged:
    """Centroids as combinations of the stored rows and columns, with both reweightings (paper, section 3.3)."""
    labels, assignment = torch.unique(assignment, return_inverse=True)
    # Clusters are numbered by their largest unit, so equal inputs in another order give equal bytes.
    first = torch.stack([(assignment == label).nonzero()[0, 0] for label in range(len(labels))])
    number = torch.empty_like(first)
    number[first.argsort()] = torch.arange(len(labels))
    assignment = number[assignment]
    count = len(labels)
    mean = torch.zeros(count, len(units.order), dtype=torch.float64)
    mean[assignment, torch.arange(len(units.order))] = sign
    mean /= mean.abs().sum(dim=1, keepdim=True)
    fold_a = torch.zeros(count, stack.size, dtype=torch.float64)
    fold_b = torch.zeros(count, stack.size, dtype=torch.float64)
    fold_a[:, units.order] = mean * units.factor_a
    fold_b[:, units.order] = mean * units.factor_b
    gain = _parameter_gain(stack, units, mean, fold_a, fold_b, options).unsqueeze(1)
    if options.output_reweighting:
        nonzero = len(units.order) / stack.size
        gain = gain * (sum(stack.ranks) / len(stack.ranks) * nonzero / count) ** 0.25
    detail = {
        "adapter": stack.owner[units.order].tolist(),
        "unit": _unit_numbers(stack)[units.order].tolist(),
        "cluster": assignment.tolist(),
        "size": [float(f"{value:.4g}") for value in units.sizes.tolist()],
        "inertia": float(f"{inertia:.6g}"),
    }
    return Merged((gain * fold_a).float() @ stack.A, stack.B @ (gain * fold_b).float().T, detail=detail)


def _unit_numbers(stack: ModuleStack) -> Tensor:
    """Which rank of its own adapter each row is; (n,)."""
    return torch.cat([torch.arange(rank) for rank in stack.ranks])


def _parameter_gain(
    stack: ModuleStack, units: _Units, mean: Tensor, fold_a: Tensor, fold_b: Tensor, options: LegoOptions
) -> Tensor:
    """The factor that brings every centroid back to the mean norm of its members; (k,)."""
    if options.parameter_reweighting == "none":
        return torch.ones(mean.shape[0], dtype=torch.float64)
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
    wanted = mean.abs() @ own  # |mean| holds 1/|C| at the members
    return torch.where(reached > 0.0, wanted / reached, 1.0)
