"""Where k-means starts: Ward's hierarchy (1963), which joins at each step the two clusters that cost the least inertia.

LoRA units share more directions than there are clusters, so which directions go together decides the inertia. Random
seeds leave that to chance, and no move of a single point mends it; the hierarchy weighs whole clusters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.cluster.hierarchy import linkage
from scipy.spatial.distance import squareform
from torch import Tensor

from inference_worker.merging.kmeans import Points

#: Squared distances closer than this share of the mean squared length are equal, whatever the rounding of the machine.
EQUAL = 1e-5


@dataclass(frozen=True)
class WardStart:
    """A module's clusters for any number of them; per module the merges in their order, (n − 1, 2) int64.

    Merge t makes cluster n + t of two earlier ones.
    """

    merges: Sequence[NDArray[np.int64]]

    @classmethod
    def of(cls, points: Points) -> WardStart:
        """The distances of mirrored points are those of the better sign. Sums of clusters follow from distances by
        Lance and Williams' rule, as if signs within a cluster agreed and points had one mass; single moves correct
        what that misses."""
        grams, masses = points.gram.double().cpu().numpy(), points.mass.double().cpu().numpy()
        return cls([_merges(gram, mass[mass > 0.0], points) for gram, mass in zip(grams, masses, strict=True)])

    def choose(self, modules: Tensor) -> WardStart:
        """The hierarchies of some modules. modules: (m,) bool."""
        return WardStart([self.merges[index] for index in modules.nonzero().flatten().tolist()])

    def begin(self, points: Points, clusters: Tensor) -> tuple[Tensor, Tensor]:
        """The wanted numbers of clusters (m,), each at most the number of points: assignment (m, n), signs (m, n)."""
        labels = np.full(points.mass.shape, -1, dtype=np.int64)
        signs = np.ones(points.mass.shape, dtype=np.float32)
        grams = points.gram.cpu().numpy()
        for index, (merges, count) in enumerate(zip(self.merges, clusters.tolist(), strict=True)):
            own = slice(0, len(merges) + 1)
            labels[index, own], turned = _cut(merges, count, grams[index])
            if points.mirrored:
                signs[index, own] = turned
        return torch.from_numpy(labels).to(points.gram.device), torch.from_numpy(signs).to(points.gram.device)


def _merges(gram: NDArray[np.float64], mass: NDArray[np.float64], points: Points) -> NDArray[np.int64]:
    """All merges of one module's points, the padding left out."""
    count = len(mass)
    if count == 1:
        return np.empty((0, 2), dtype=np.int64)
    inner = gram[:count, :count]
    length = inner.diagonal()
    squared = -2.0 * (np.abs(inner) if points.mirrored else inner)
    squared += length
    squared += length[:, None]
    if mass.min() != mass.max():
        # Ward's distance of single points of these masses.
        squared *= 2.0 * np.outer(mass, mass) / np.add.outer(mass, mass)
    condensed = squareform(squared, checks=False)
    condensed = np.rint(condensed / (EQUAL * length.mean())).clip(min=0.0)
    return linkage(np.sqrt(condensed), method="ward")[:, :2].astype(np.int64)


def _cut(
    merges: NDArray[np.int64], clusters: int, gram: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """All but the last merges: the points' labels from 0, and their signs, both (n,).

    Clusters that are joined keep the signs that they have inside; one of them is turned as a whole where their first
    points disagree.
    """
    count = len(merges) + 1
    done = count - clusters
    parent = np.arange(count + done)
    parent[merges[:done]] = np.arange(count, count + done)[:, None]
    first = list(range(count))
    for one, other in merges[:done].tolist():
        first.append(min(first[one], first[other]))
    chosen = np.array(first)
    sign = np.where(gram[chosen, chosen[parent]] < 0.0, np.float32(-1.0), np.float32(1.0))
    while not np.array_equal(above := parent[parent], parent):
        # A root's sign is 1.
        sign, parent = sign * sign[parent], above
    return np.unique(parent[:count], return_inverse=True)[1], sign[:count]
