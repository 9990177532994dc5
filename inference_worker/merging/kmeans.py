"""k-means in Gram coordinates, batched over modules and restarts, blind to the sign of a point.

A LoRA unit (a, b) and its mirror (−a, −b) are the same update, so a point stands for the pair ±u: it joins the
centroid c with the larger |⟨u, c⟩| gain and enters the mean with the sign that fits, which is the alignment of signs
with the least inertia. All a centroid is, is a combination of points, so the Gram matrix is enough.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

#: Points whose squared distance is below this share of their squared length are the same point up to rounding.
SAME_POINT = 4e-6
#: Inertias closer than this are equal; the earlier restart wins, whatever the rounding of the machine.
SAME_INERTIA = 1e-5


@dataclass
class Clustering:
    """Per module of the batch: for every point its cluster and sign, the inertia Σ min d², and the rounds it took."""

    assignment: Tensor  # (m, n) int64; −1 where the point is padding or zero
    sign: Tensor  # (m, n) −1 or +1
    inertia: Tensor  # (m,)
    rounds: int


def count_distinct(gram: Tensor, valid: Tensor) -> Tensor:
    """How many different points ±u there are per module. gram: (m, n, n), valid: (m, n) bool; result (m,) int64."""
    squared = gram.diagonal(dim1=1, dim2=2)
    pair = squared.unsqueeze(1) + squared.unsqueeze(2)
    same = (pair - 2.0 * gram.abs()) <= SAME_POINT * pair
    earlier = torch.ones(gram.shape[1:], dtype=torch.bool).tril(diagonal=-1)
    repeated = (same & earlier & valid.unsqueeze(1)).any(dim=2)
    return (valid & ~repeated).sum(dim=1)


def cluster(gram: Tensor, valid: Tensor, clusters: Tensor, uniforms: Tensor, iterations: int) -> Clustering:
    """Lloyd's algorithm from k-means++ seeds; the best of R restarts per module.

    gram: (m, n, n) float32 inner products; valid: (m, n) bool; clusters: (m,) wanted counts, each at most the number
    of distinct points; uniforms: (m, R, k) random numbers in [0, 1) for the seeding, k the largest count.
    """
    modules, points = valid.shape
    restarts, width = uniforms.shape[1:]
    live = torch.arange(width) < clusters.view(-1, 1)  # (m, k): modules with fewer clusters leave columns unused
    squared = gram.diagonal(dim1=1, dim2=2)
    seeds = _seed(gram, squared, valid, uniforms)  # (m, R, k)
    weights = torch.zeros(modules, points, restarts, width)
    weights.scatter_(1, seeds.unsqueeze(1), live.view(modules, 1, 1, width).float().expand(-1, 1, restarts, -1))
    previous, rounds = None, 0
    for rounds in range(1, iterations + 1):  # noqa: B007 - the count is reported
        assignment, sign, distance = _assign(gram, squared, weights, live)
        code = torch.where(valid.unsqueeze(2), assignment * 2 + (sign > 0), -1)
        if previous is not None and torch.equal(code, previous):
            break
        previous = code
        weights = _means(_fill_empty(assignment, distance, valid, clusters), sign, valid, width)
    # Once more with the final centroids, so that inertia and assignment belong together.
    assignment, sign, distance = _assign(gram, squared, weights, live)
    assignment = _fill_empty(assignment, distance, valid, clusters)
    inertia = (distance * valid.unsqueeze(2)).sum(dim=1)  # (m, R)
    best = _best_restart(inertia, (squared * valid).sum(dim=1))
    chosen = best.view(-1, 1, 1).expand(-1, points, 1)
    return Clustering(
        assignment=torch.where(valid, assignment.gather(2, chosen).squeeze(2), -1),
        sign=sign.gather(2, chosen).squeeze(2),
        inertia=inertia.gather(1, best.view(-1, 1)).squeeze(1),
        rounds=rounds,
    )


def _seed(gram: Tensor, squared: Tensor, valid: Tensor, uniforms: Tensor) -> Tensor:
    """k-means++ (Arthur and Vassilvitskii, 2007): indices (m, R, k), drawn with probability ∝ squared distance."""
    modules, restarts, width = uniforms.shape
    points = valid.shape[1]
    mass = valid.double().unsqueeze(1).expand(modules, restarts, points).clone()
    nearest = torch.full((modules, restarts, points), float("inf"), dtype=torch.float64)
    batch = torch.arange(modules).unsqueeze(1)
    seeds = torch.zeros(modules, restarts, width, dtype=torch.int64)
    for step in range(width):
        cumulative = mass.cumsum(dim=2)
        target = uniforms[:, :, step : step + 1].double() * cumulative[:, :, -1:]
        pick = torch.searchsorted(cumulative, target, right=True).squeeze(2).clamp_max(points - 1)
        seeds[:, :, step] = pick
        pair = squared[batch, pick].unsqueeze(2) + squared.unsqueeze(1)  # (m, R, n)
        distance = (pair - 2.0 * gram[batch, pick].abs()).double()
        distance = torch.where(distance <= SAME_POINT * pair, 0.0, distance)
        nearest = torch.minimum(nearest, distance)
        mass = nearest * valid.unsqueeze(1)
    return seeds


def _assign(gram: Tensor, squared: Tensor, weights: Tensor, live: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Nearest centroid of every point. weights: (m, n, R, k) signed mean weights; results (m, n, R)."""
    modules, points = weights.shape[:2]
    cross = torch.bmm(gram, weights.view(modules, points, -1)).view_as(weights)  # ⟨u_i, μ_c⟩
    length = (weights * cross).sum(dim=1)  # ‖μ_c‖², (m, R, k)
    length = torch.where(live.unsqueeze(1), length, float("inf"))
    distance, assignment = (length.unsqueeze(1) - 2.0 * cross.abs()).min(dim=3)
    sign = torch.where(cross.gather(3, assignment.unsqueeze(3)).squeeze(3) < 0.0, -1.0, 1.0)
    return assignment, sign, (distance + squared.unsqueeze(2)).clamp_min(0.0)


def _means(assignment: Tensor, sign: Tensor, valid: Tensor, width: int) -> Tensor:
    """Signed mean weights (m, n, R, k): column c holds ±1/|c| at the members of cluster c."""
    modules, points, restarts = assignment.shape
    weights = torch.zeros(modules, points, restarts, width)
    weights.scatter_(3, assignment.unsqueeze(3), (sign * valid.unsqueeze(2)).unsqueeze(3))
    counts = weights.abs().sum(dim=1, keepdim=True)
    return weights.div_(counts.clamp_min(1.0))


def _fill_empty(assignment: Tensor, distance: Tensor, valid: Tensor, clusters: Tensor) -> Tensor:
    """Give every empty cluster the point farthest from its own centroid among clusters of two and more."""
    width = int(clusters.max())
    counts = torch.zeros(assignment.shape[0], assignment.shape[2], width, dtype=torch.int64)
    counts.scatter_add_(2, assignment.transpose(1, 2), valid.unsqueeze(1).expand(-1, assignment.shape[2], -1).long())
    empty = (counts == 0) & (torch.arange(width) < clusters.view(-1, 1)).unsqueeze(1)
    if not bool(empty.any()):
        return assignment
    assignment = assignment.clone()
    for module, restart, index in empty.nonzero().tolist():
        own = assignment[module, :, restart]
        movable = valid[module] & (counts[module, restart][own] > 1)
        if not bool(movable.any()):
            continue
        point = int(torch.where(movable, distance[module, :, restart], -1.0).argmax())
        counts[module, restart, own[point]] -= 1
        counts[module, restart, index] = 1
        assignment[module, point, restart] = index
        distance[module, point, restart] = 0.0
    return assignment


def _best_restart(inertia: Tensor, total: Tensor) -> Tensor:
    """Index of the first restart whose inertia is the smallest up to rounding; (m,)."""
    smallest = inertia.min(dim=1, keepdim=True).values
    good = inertia <= smallest + SAME_INERTIA * total.unsqueeze(1)
    return good.int().argmax(dim=1)
