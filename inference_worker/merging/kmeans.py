"""k-means in Gram coordinates, batched over modules and restarts, with masses, and blind to signs where asked.

A LoRA unit (a, b) and its mirror (−a, −b) are the same update, so a mirrored point stands for the pair ±u: it joins
the centroid c with the larger |⟨u, c⟩| gain and enters the mean with the sign that fits, which is the alignment of
signs with the least inertia. All a centroid is, is a combination of points, so the Gram matrix is enough.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

#: Points whose squared distance is below this share of their squared length are the same point up to rounding.
SAME_POINT = 4e-6
#: Inertias closer than this are equal; the earlier restart wins, whatever the rounding of the machine.
SAME_INERTIA = 1e-5


@dataclass(frozen=True)
class Points:
    """The points of several modules, padded to the largest. With ``mirrored`` u and −u are one point."""

    gram: Tensor  # (m, n, n) float32, inner products
    mass: Tensor  # (m, n) float32: sample weights, 0 where the point is padding
    mirrored: bool = True

    @property
    def valid(self) -> Tensor:
        return self.mass > 0.0

    @property
    def squared(self) -> Tensor:
        return self.gram.diagonal(dim1=1, dim2=2)

    def likeness(self, inner: Tensor) -> Tensor:
        """Inner products as they count for distances."""
        return inner.abs() if self.mirrored else inner

    def total(self) -> Tensor:
        """Σ mass · ‖u‖², the inertia of no clusters at all; (m,)."""
        return (self.squared * self.mass).sum(dim=1)

    def choose(self, modules: Tensor) -> Points:
        """The points of some modules. modules: (m',) int64 or (m,) bool."""
        return Points(self.gram[modules], self.mass[modules], self.mirrored)


@dataclass
class Clustering:
    """Per module of the batch: every point's cluster and sign, and the inertia Σ mass · min d²."""

    assignment: Tensor  # (m, n) int64; −1 where the point is padding or zero
    sign: Tensor  # (m, n) −1 or +1
    inertia: Tensor  # (m,)


@dataclass(frozen=True)
class RandomStart:
    """The best restart of ``lloyd`` for any number of clusters; ``uniforms`` as there."""

    uniforms: Tensor  # (m, R, k, L)
    iterations: int

    def choose(self, modules: Tensor) -> RandomStart:
        """The random numbers of some modules. modules: (m,) bool."""
        return RandomStart(self.uniforms[modules], self.iterations)

    def begin(self, points: Points, clusters: Tensor) -> tuple[Tensor, Tensor]:
        """Assignment (m, n) and signs (m, n) for the wanted numbers of clusters (m,)."""
        found = cluster(points, clusters, self.uniforms, self.iterations)
        return found.assignment, found.sign


def count_distinct(points: Points) -> Tensor:
    """How many different points there are per module; (m,) int64."""
    valid, squared = points.valid, points.squared
    pair = squared.unsqueeze(1) + squared.unsqueeze(2)
    same = (pair - 2.0 * points.likeness(points.gram)) <= SAME_POINT * pair
    earlier = torch.ones_like(same[0]).tril(diagonal=-1)
    repeated = (same & earlier & valid.unsqueeze(1)).any(dim=2)
    return (valid & ~repeated).sum(dim=1)


def cluster(points: Points, clusters: Tensor, uniforms: Tensor, iterations: int) -> Clustering:
    """The best of the restarts of ``lloyd`` per module; same arguments."""
    return pick_best(points, lloyd(points, clusters, uniforms, iterations), uniforms.shape[1])


def lloyd(points: Points, clusters: Tensor, uniforms: Tensor, iterations: int) -> Clustering:
    """Lloyd's algorithm from k-means++ seeds; m·R rows, the restarts of a module one after another.

    clusters: (m,) wanted counts, each at most the number of distinct points; uniforms: (m, R, k, L) random numbers in
    [0, 1) for the seeding, float64, k at least the largest count, L the candidates per seed.
    """
    uniforms = uniforms[:, :, : int(clusters.max())]
    modules, size = points.mass.shape
    restarts, width = uniforms.shape[1:3]
    # Modules with fewer clusters leave columns unused; (m, k).
    live = torch.arange(width, device=clusters.device) < clusters.view(-1, 1)
    valid = points.valid.unsqueeze(2)
    seeds = _seed(points, uniforms)  # (m, R, k)
    weights = points.gram.new_zeros(modules, size, restarts, width)
    weights.scatter_(1, seeds.unsqueeze(1), live.view(modules, 1, 1, width).float().expand(-1, 1, restarts, -1))
    previous = None
    for _ in range(iterations):
        assignment, sign, distance = _assign(points, weights, live)
        code = torch.where(valid, assignment * 2 + (sign > 0), -1)
        if previous is not None and torch.equal(code, previous):
            break
        previous = code
        weights = _means(_fill_empty(assignment, distance, points.valid, clusters), sign, points.mass, width)
    # Once more with the final centroids, so that inertia and assignment belong together.
    assignment, sign, distance = _assign(points, weights, live)
    assignment = torch.where(valid, _fill_empty(assignment, distance, points.valid, clusters), -1)
    inertia = (distance * points.mass.unsqueeze(2)).sum(dim=1)  # (m, R)
    return Clustering(
        assignment=assignment.transpose(1, 2).reshape(-1, size),
        sign=sign.transpose(1, 2).reshape(-1, size),
        inertia=inertia.reshape(-1),
    )


def pick_best(points: Points, found: Clustering, restarts: int) -> Clustering:
    """Of m·R rows the restart with the least inertia per module; the first of those that are equal up to rounding."""
    inertia = found.inertia.view(-1, restarts)
    good = inertia <= inertia.min(dim=1, keepdim=True).values + SAME_INERTIA * points.total().unsqueeze(1)
    best = torch.arange(len(inertia), device=inertia.device) * restarts + good.int().argmax(dim=1)
    return Clustering(found.assignment[best], found.sign[best], found.inertia[best])


def _seed(points: Points, uniforms: Tensor) -> Tensor:
    """Greedy k-means++ (Arthur and Vassilvitskii, 2007): indices (m, R, k).

    At every step L candidates are drawn with probability ∝ mass · squared distance (the first by mass alone), and the
    one that leaves the least inertia is taken. uniforms: (m, R, k, L). The first j seeds do not depend on k.
    """
    modules, restarts, width = uniforms.shape[:3]
    squared, size = points.squared, points.mass.shape[1]
    pair = squared.unsqueeze(1) + squared.unsqueeze(2)
    distances = pair - 2.0 * points.likeness(points.gram)
    distances = torch.where(distances <= SAME_POINT * pair, 0.0, distances)  # (m, n, n)
    mass = points.mass.unsqueeze(1)
    wanted = mass.expand(modules, restarts, size).double()
    nearest = torch.full_like(points.mass, float("inf")).view(modules, 1, 1, size).expand(-1, restarts, -1, -1)
    batch = torch.arange(modules, device=squared.device).view(modules, 1, 1)
    seeds = torch.zeros_like(uniforms[..., 0], dtype=torch.int64)
    for step in range(width):
        cumulative = wanted.cumsum(dim=2)
        target = uniforms[:, :, step] * cumulative[:, :, -1:]
        drawn = torch.searchsorted(cumulative, target, right=True).clamp_max(size - 1)  # (m, R, L)
        left = torch.minimum(nearest, distances[batch, drawn])  # (m, R, L, n)
        inertia = (left @ points.mass.view(modules, 1, size, 1)).squeeze(3)
        best = inertia.argmin(dim=2, keepdim=True)  # (m, R, 1)
        seeds[:, :, step] = drawn.gather(2, best).squeeze(2)
        nearest = left.gather(2, best.unsqueeze(3).expand(-1, -1, -1, size))
        wanted = nearest.squeeze(2).double() * mass
    return seeds


def _assign(points: Points, weights: Tensor, live: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Nearest centroid of every point. weights: (m, n, R, k) signed mean weights; results (m, n, R)."""
    modules, size = weights.shape[:2]
    cross = torch.bmm(points.gram, weights.view(modules, size, -1)).view_as(weights)  # ⟨u_i, μ_c⟩
    length = (weights * cross).sum(dim=1)  # ‖μ_c‖², (m, R, k)
    length = torch.where(live.unsqueeze(1), length, float("inf"))
    distance, assignment = (length.unsqueeze(1) - 2.0 * points.likeness(cross)).min(dim=3)
    chosen = cross.gather(3, assignment.unsqueeze(3)).squeeze(3)
    sign = torch.where(chosen < 0.0, -1.0, 1.0) if points.mirrored else torch.ones_like(chosen)
    return assignment, sign, (distance + points.squared.unsqueeze(2)).clamp_min(0.0)


def _means(assignment: Tensor, sign: Tensor, mass: Tensor, width: int) -> Tensor:
    """Signed mean weights (m, n, R, k): column c holds ±mass / Σ mass at the members of cluster c."""
    modules, size, restarts = assignment.shape
    weights = mass.new_zeros(modules, size, restarts, width)
    weights.scatter_(3, assignment.unsqueeze(3), (sign * mass.unsqueeze(2)).unsqueeze(3))
    total = weights.abs().sum(dim=1, keepdim=True)
    return weights.div_(torch.where(total > 0.0, total, 1.0))


def _fill_empty(assignment: Tensor, distance: Tensor, valid: Tensor, clusters: Tensor) -> Tensor:
    """Give every empty cluster the point farthest from its own centroid among clusters of two and more."""
    width = int(clusters.max())
    counts = assignment.new_zeros(assignment.shape[0], assignment.shape[2], width)
    counts.scatter_add_(2, assignment.transpose(1, 2), valid.unsqueeze(1).expand(-1, assignment.shape[2], -1).long())
    empty = (counts == 0) & (torch.arange(width, device=clusters.device) < clusters.view(-1, 1)).unsqueeze(1)
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
