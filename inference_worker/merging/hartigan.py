"""Move single points between clusters while that lowers the inertia (Hartigan and Wong, 1979), batched over modules.

Lloyd's rule asks which centroid is nearest, and every centroid is pulled towards its own members: in high dimensions,
where units are nearly orthogonal, almost nothing ever leaves its first cluster. Here a point is compared with each
cluster as it would be without the point.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from inference_worker.merging.kmeans import Clustering, Points

#: A move has to lower the inertia by this share of the total: less is not worth the time, and rounding moves nothing.
WORTH = 1e-5


def refine(points: Points, assignment: Tensor, sign: Tensor, clusters: Tensor) -> Clustering:
    """Single moves and single changes of sign until none helps any module.

    assignment, sign: (m, n), as in ``Clustering``; clusters: (m,) counts.

    Moves between different pairs of clusters do not touch each other, so a round makes every move that gains more
    than all others of both its clusters. No cluster is ever emptied.
    """
    size, width = points.mass.shape[1], int(clusters.max())
    own = one_hot(assignment.clamp_min(0), width).to(points.mass.dtype)  # (m, n, k)
    signed = sign * points.mass  # (m, n)
    live = torch.arange(width, device=clusters.device) < clusters.view(-1, 1)
    threshold = WORTH * points.total()
    for _ in range(4 * size):
        gain, target, turned = _best_moves(points, own, signed, live)
        moves = _independent(gain, own.argmax(dim=2), target, gain > threshold.unsqueeze(1), width)
        if not bool(moves.any()):
            break
        own = torch.where(moves.unsqueeze(2), one_hot(target, width).to(own.dtype), own)
        signed = torch.where(moves, turned * points.mass, signed)
    weights = own * signed.unsqueeze(2)
    inner = torch.bmm(points.gram, weights)
    mass = weights.abs().sum(dim=1)
    kept = (weights * inner).sum(dim=1) / torch.where(mass > 0.0, mass, 1.0)  # ‖Σ‖² / M per cluster
    return Clustering(
        assignment=torch.where(points.valid, own.argmax(dim=2), -1),
        sign=torch.where(signed < 0.0, -1.0, 1.0),
        inertia=(points.total() - kept.sum(dim=1)).clamp_min(0.0),
    )


def _best_moves(points: Points, own: Tensor, signed: Tensor, live: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What every point would gain at its best place, that place, and its sign there; all (m, n).

    Adding u with mass m to a cluster of mass M and sum S costs m/(M + m) · (M‖u‖² + ‖S‖²/M − 2⟨u, S⟩).
    """
    mass, squared = points.mass.unsqueeze(2), points.squared.unsqueeze(2)
    weights = own * signed.unsqueeze(2)
    inner = torch.bmm(points.gram, weights)  # ⟨u, S⟩, (m, n, k)
    length = (weights * inner).sum(dim=1, keepdim=True) - weights * (2.0 * inner - weights * squared)  # ‖S‖²
    total = (own * mass).sum(dim=1, keepdim=True) - own * mass
    inner = inner - weights * squared
    fixed = total * squared + length / torch.where(total > 0.0, total, 1.0)
    share = mass / (total + mass).clamp_min(torch.finfo(mass.dtype).tiny)
    cost = share * (fixed - 2.0 * points.likeness(inner))
    cost = torch.where(live.unsqueeze(1), cost, float("inf"))
    stay = (own * share * (fixed - 2.0 * inner * weights.sign())).sum(dim=2)
    least, target = cost.min(dim=2)
    chosen = inner.gather(2, target.unsqueeze(2)).squeeze(2)
    sign = torch.where(chosen < 0.0, -1.0, 1.0) if points.mirrored else torch.ones_like(chosen)
    # Alone in its cluster a point costs nothing, and leaving it would waste the cluster.
    alone = ((own * total).sum(dim=2) <= 0.0) | ~points.valid
    return torch.where(alone, 0.0, stay - least), target, sign


def _independent(gain: Tensor, source: Tensor, target: Tensor, wanted: Tensor, width: int) -> Tensor:
    """Which of the ``wanted`` moves gain more than every other of their two clusters; all (m, n)."""
    # Places in the order of gains instead of gains, so that equal ones do not both win.
    place = torch.where(wanted, 1 + gain.argsort(dim=1, stable=True).argsort(dim=1), 0)
    largest = place.new_zeros(len(place), width)
    largest.scatter_reduce_(1, source, place, "amax")
    largest.scatter_reduce_(1, target, place, "amax")
    return wanted & (place == largest.gather(1, source)) & (place == largest.gather(1, target))
