"""Ward's hierarchy against scikit-learn's, and what comes of starting k-means from it."""

from __future__ import annotations

import pytest
import torch
from sklearn.cluster import AgglomerativeClustering, KMeans

from inference_worker.merging.hartigan import refine
from inference_worker.merging.hierarchy import WardStart
from inference_worker.merging.kmeans import Clustering, Points, RandomStart


def grams(*values: torch.Tensor, mirrored: bool = False, mass: torch.Tensor | None = None) -> Points:
    """The points of several modules, (n_i, d_i) each."""
    largest = max(map(len, values))
    gram, masses = torch.zeros(len(values), largest, largest), torch.zeros(len(values), largest)
    for index, rows in enumerate(values):
        gram[index, : len(rows), : len(rows)] = rows @ rows.T
        masses[index, : len(rows)] = 1.0 if mass is None else mass
    return Points(gram, masses, mirrored)


def solve(points: Points, clusters: list[int]) -> Clustering:
    counts = torch.tensor(clusters)
    return refine(points, *WardStart.of(points).begin(points, counts), counts)


def scattered(seed: int, count: int = 60, directions: int = 12, size: int = 1500) -> torch.Tensor:
    """Points around more directions, nearly orthogonal ones, than there will be clusters."""
    generator = torch.Generator().manual_seed(seed)
    common = torch.randn(directions, size, generator=generator)
    chosen = torch.randint(directions, (count,), generator=generator)
    return common[chosen] + 0.7 * torch.randn(count, size, generator=generator)


def groups(labels: list[int]) -> set[frozenset[int]]:
    return {frozenset(i for i, own in enumerate(labels) if own == label) for label in set(labels)}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("clusters", [1, 2, 6, 59, 60])
def test_the_hierarchy_is_scikit_learns(seed: int, clusters: int) -> None:
    values = scattered(seed)
    points = grams(values)
    assignment, signs = WardStart.of(points).begin(points, torch.tensor([clusters]))
    expected = AgglomerativeClustering(n_clusters=clusters, linkage="ward").fit_predict(values.numpy())
    assert groups(assignment[0].tolist()) == groups(expected.tolist())
    assert signs.tolist() == [[1.0] * 60]


@pytest.mark.parametrize("seed", range(4))
def test_the_inertia_is_at_most_that_of_ten_random_starts(seed: int) -> None:
    values = scattered(seed)
    theirs = KMeans(n_clusters=6, n_init=10, random_state=0).fit(values.numpy()).inertia_
    assert float(solve(grams(values), [6]).inertia) <= theirs


def test_the_inertia_of_mirrored_points_is_less_than_that_of_random_starts() -> None:
    """On the whole: for mirrored points the hierarchy is an approximation."""
    reached = {"ward": 0.0, "random": 0.0}
    for seed in range(6):
        generator = torch.Generator().manual_seed(100 + seed)
        values = scattered(seed) * torch.where(torch.rand(60, 1, generator=generator) < 0.5, -1.0, 1.0)
        points, counts = grams(values, mirrored=True), torch.tensor([6])
        uniforms = torch.rand(1, 4, 6, 4, generator=generator, dtype=torch.float64)
        random = refine(points, *RandomStart(uniforms, 50).begin(points, counts), counts)
        reached["random"] += float(random.inertia)
        reached["ward"] += float(solve(points, [6]).inertia)
    assert reached["ward"] < 0.995 * reached["random"]


def test_mirrors_change_signs_and_nothing_else() -> None:
    values = scattered(1)
    turned = torch.where(torch.arange(60) % 3 == 0, -1.0, 1.0)
    plain, mirrored = (solve(grams(rows, mirrored=True), [5]) for rows in (values, values * turned.unsqueeze(1)))
    assert mirrored.assignment.tolist() == plain.assignment.tolist()
    agree = mirrored.sign[0] * plain.sign[0] * turned
    for label in range(5):
        assert len(set(agree[plain.assignment[0] == label].tolist())) == 1


def test_modules_of_a_batch_do_not_influence_each_other() -> None:
    first, second = scattered(1, 20), scattered(2, 9)
    both, alone = solve(grams(first, second), [4, 3]), solve(grams(second), [3])
    assert both.assignment[1].tolist() == [*alone.assignment[0].tolist(), *[-1] * 11]
    chosen = WardStart.of(grams(first, second)).choose(torch.tensor([False, True]))
    assert [len(merges) for merges in chosen.merges] == [8]


def test_one_point_is_one_cluster() -> None:
    assert solve(grams(torch.ones(1, 3)), [1]).assignment.tolist() == [[0]]


def test_the_same_points_end_up_together() -> None:
    spots = torch.eye(4)[[0, 1, 0, 2, 3, 1, 2, 3]]
    assert groups(solve(grams(spots), [4]).assignment[0].tolist()) == groups([0, 1, 0, 2, 3, 1, 2, 3])


def test_mass_counts() -> None:
    """Of two equal distances the one between lighter points is bridged."""
    line = torch.tensor([[0.0], [1.0], [2.0]])
    points = grams(line, mass=torch.tensor([5.0, 5.0, 1.0]))
    assert groups(solve(points, [2]).assignment[0].tolist()) == groups([0, 1, 1])
