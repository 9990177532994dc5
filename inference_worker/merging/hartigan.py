"""Move single points between clusters while that lowers the inertia (Hartigan and Wong, 1979), batched over modules.

Lloyd's rule asks which centroid is nearest, and every centroid is pulled towards its own members: in high dimensions,
where units are nearly orthogonal, almost nothing ever leaves its first cluster. Here a point is compared with each
cluster as it would be without the point.

Dozens of steps on small matrices, where the price of a call counts: NumPy's are the cheapest, on any device.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inference_worker.merging.kmeans import Clustering, Points

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]

#: A move has to lower the inertia by this share of the total: less is not worth the time, and rounding moves nothing.
WORTH = 1e-5


class _Moves(NamedTuple):
    """Single moves, one of a point each: all (p,)."""

    module: Indices
    point: Indices
    source: Indices
    target: Indices
    gain: Floats
    sign: Floats  # of the point where it goes

    def choose(self, some: NDArray[np.bool_]) -> _Moves:
        return _Moves(
            self.module[some], self.point[some], self.source[some], self.target[some], self.gain[some], self.sign[some]
        )


@dataclass(frozen=True)
class _State:
    """Points and where they are now; ``label`` and ``weights`` change in place."""

    gram: Floats  # (m, n, n)
    mass: Floats  # (m, n)
    squared: Floats  # (m, n)
    closed: Floats  # (m, 1, k): infinity at clusters that a module has not, else 0
    label: Indices  # (m, n), 0 where the point is padding
    weights: Floats  # (m, n, k): at each point's cluster its mass with its sign

    def make(self, moves: _Moves) -> None:
        self.weights[moves.module, moves.point, moves.source] = 0.0
        self.weights[moves.module, moves.point, moves.target] = moves.sign * self.mass[moves.module, moves.point]
        self.label[moves.module, moves.point] = moves.target


def refine(points: Points, assignment: Tensor, sign: Tensor, clusters: Tensor) -> Clustering:
    """Single moves and single changes of sign until none helps any module.

    assignment, sign: (m, n), as in ``Clustering``; clusters: (m,) counts.

    Moves between different pairs of clusters do not touch each other, so a round makes every move that gains more
    than all others of both its clusters. No cluster is ever emptied.
    """
    state = _begin(points, assignment, sign, clusters)
    threshold = (WORTH * points.total()).cpu().numpy()[:, None]
    for _ in range(4 * state.mass.shape[1]):
        moves = _best_moves(state, threshold, points.mirrored)
        if not len(moves.gain):
            break
        state.make(_independent(moves, state.weights.shape[2]))
    mass = np.abs(state.weights).sum(axis=1)
    kept = (state.weights * (state.gram @ state.weights)).sum(axis=1) / np.where(mass > 0.0, mass, 1.0)  # ‖Σ‖² / M
    lost = points.total() - torch.from_numpy(kept.sum(axis=1)).to(points.mass)
    label = torch.from_numpy(state.label).to(assignment.device)
    return Clustering(
        assignment=torch.where(points.valid, label, -1),
        sign=torch.where(torch.from_numpy(state.weights.sum(axis=2)).to(sign) < 0.0, -1.0, 1.0),
        inertia=lost.clamp_min(0.0),
    )


def _begin(points: Points, assignment: Tensor, sign: Tensor, clusters: Tensor) -> _State:
    gram, mass = points.gram.cpu().numpy(), points.mass.cpu().numpy()
    counts, label = clusters.cpu().numpy(), assignment.clamp_min(0).cpu().numpy()
    width = int(counts.max())
    weights = np.zeros((*mass.shape, width), dtype=np.float32)
    weights.reshape(-1, width)[np.arange(mass.size), label.reshape(-1)] = (sign.cpu().numpy() * mass).reshape(-1)
    closed = np.where(np.arange(width) < counts[:, None], np.float32(0.0), np.float32(np.inf))[:, None]
    return _State(gram, mass, gram.diagonal(axis1=1, axis2=2), closed, label, weights)


def _best_moves(state: _State, threshold: Floats, mirrored: bool) -> _Moves:
    """Of all points those that gain more than the ``threshold`` (m, 1) at their best place.

    Adding u with mass m to a cluster of mass M and sum S costs m/(M + m) · (M‖u‖² + ‖S‖²/M − 2⟨u, S⟩).
    """
    mass, squared, weights = state.mass[:, :, None], state.squared[:, :, None], state.weights
    inner = state.gram @ weights  # ⟨u, S⟩, (m, n, k)
    length = (weights * inner).sum(axis=1, keepdims=True) - weights * (2.0 * inner - weights * squared)  # ‖S‖²
    masses = np.abs(weights)
    total = masses.sum(axis=1, keepdims=True) - masses
    inner -= weights * squared
    fixed = total * squared + length / np.where(total > 0.0, total, np.float32(1.0))
    share = mass / np.maximum(total + mass, np.finfo(np.float32).tiny)
    cost = share * (fixed - 2.0 * (np.abs(inner) if mirrored else inner)) + state.closed
    own = np.arange(state.label.size), state.label.reshape(-1)
    width = weights.shape[2]
    target = cost.argmin(axis=2)
    best = own[0], target.reshape(-1)

    def at(values: Floats, place: tuple[Indices, Indices]) -> Floats:
        found: Floats = values.reshape(-1, width)[place].reshape(state.label.shape)
        return found

    stay = at(share, own) * (at(fixed, own) - 2.0 * at(inner, own) * np.sign(at(weights, own)))
    # Alone in its cluster a point costs nothing, and leaving it would waste the cluster.
    gain = np.where((at(total, own) > 0.0) & (state.mass > 0.0), stay - at(cost, best), np.float32(0.0))
    module, point = (gain > threshold).nonzero()
    goal = target[module, point]
    turned = mirrored & (inner[module, point, goal] < 0.0)
    sign = np.where(turned, np.float32(-1.0), np.float32(1.0))
    return _Moves(module, point, state.label[module, point], goal, gain[module, point], sign)


def _independent(moves: _Moves, width: int) -> _Moves:
    """The moves that gain more than every other of their two clusters."""
    # Places in the order of gains instead of gains, so that equal ones do not both win.
    place = 1 + moves.gain.argsort(kind="stable").argsort()
    source, target = moves.module * width + moves.source, moves.module * width + moves.target
    largest = np.zeros(int(max(source.max(), target.max())) + 1, dtype=np.int64)
    np.maximum.at(largest, source, place)
    np.maximum.at(largest, target, place)
    return moves.choose((place == largest[source]) & (place == largest[target]))
