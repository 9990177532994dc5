"""k-means on Gram matrices against k-means on raw vectors."""

from __future__ import annotations

import pytest
import torch
from reference.dense_merges import raw_kmeans_inertia

from inference_worker.merging.hartigan import refine
from inference_worker.merging.kmeans import Clustering, Points, cluster, count_distinct


def points_to_gram(points: torch.Tensor) -> torch.Tensor:
    return (points @ points.T).unsqueeze(0)


def run(
    points: torch.Tensor,
    clusters: int,
    restarts: int = 8,
    seed: int = 0,
    mass: torch.Tensor | None = None,
    mirrored: bool = True,
) -> Clustering:
    uniforms = torch.rand(1, restarts, clusters, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    masses = torch.ones(1, len(points)) if mass is None else mass.unsqueeze(0)
    return cluster(Points(points_to_gram(points), masses, mirrored), torch.tensor([clusters]), uniforms, 100)


@pytest.mark.parametrize("clusters", [1, 2, 4, 7])
@pytest.mark.parametrize("seed", [0, 1])
def test_inertia_is_as_good_as_on_raw_vectors(clusters: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    points = torch.randn(14, 6, generator=generator)
    units = [(point[:3].double(), point[3:].double()) for point in points]
    expected = raw_kmeans_inertia(units, clusters, restarts=40, seed=seed)
    assert float(run(points, clusters, restarts=40).inertia) <= expected * 1.06


def test_reported_inertia_belongs_to_the_partition() -> None:
    points = torch.randn(20, 5, generator=torch.Generator().manual_seed(3))
    result = run(points, 4)
    total = 0.0
    for label in range(4):
        members = points[result.assignment[0] == label] * result.sign[0][result.assignment[0] == label].unsqueeze(1)
        assert len(members) > 0
        total += float((members - members.mean(dim=0)).square().sum())
    assert float(result.inertia) == pytest.approx(total, rel=1e-4)


def test_mirrored_points_are_one_cluster() -> None:
    direction = torch.tensor([[1.0, 2.0, 0.5]])
    points = torch.cat([direction, -direction, direction * 1.1, torch.tensor([[-2.0, 1.0, 0.0]])])
    result = run(points, 2)
    assignment = result.assignment[0].tolist()
    assert assignment[0] == assignment[1] == assignment[2] != assignment[3]
    assert result.sign[0, 0] == -result.sign[0, 1]


def test_distinct_points_are_counted_up_to_sign() -> None:
    points = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 2.0]])
    gram, mass = points_to_gram(points), torch.ones(1, 5)
    assert count_distinct(Points(gram, mass)).tolist() == [3]
    assert count_distinct(Points(gram, mass, mirrored=False)).tolist() == [4]
    mass[0, 4] = 0.0
    assert count_distinct(Points(gram, mass)).tolist() == [2]


def test_without_mirrors_opposite_points_are_far_apart() -> None:
    direction = torch.tensor([[1.0, 2.0, 0.5]])
    result = run(torch.cat([direction, -direction, direction * 1.1]), 2, mirrored=False)
    assignment = result.assignment[0].tolist()
    assert assignment[0] == assignment[2] != assignment[1]
    assert result.sign.tolist() == [[1.0, 1.0, 1.0]]


@pytest.mark.parametrize("mirrored", [True, False])
def test_a_mass_counts_like_that_many_copies(mirrored: bool) -> None:
    points = torch.randn(8, 4, generator=torch.Generator().manual_seed(5))
    copies = [1, 3, 1, 2, 1, 1, 4, 1]
    repeated = points.repeat_interleave(torch.tensor(copies), dim=0)
    heavy = run(points, 3, restarts=64, mass=torch.tensor(copies).float(), mirrored=mirrored)
    plain = run(repeated, 3, restarts=64, mirrored=mirrored)
    assert float(heavy.inertia) == pytest.approx(float(plain.inertia), rel=1e-4)
    kept = {frozenset((heavy.assignment[0] == label).nonzero().flatten().tolist()) for label in range(3)}
    owner = torch.arange(8).repeat_interleave(torch.tensor(copies))
    assert kept == {frozenset(owner[plain.assignment[0] == label].tolist()) for label in range(3)}


def test_modules_of_a_batch_do_not_influence_each_other() -> None:
    first = torch.randn(10, 4, generator=torch.Generator().manual_seed(1))
    second = torch.randn(6, 4, generator=torch.Generator().manual_seed(2))
    uniforms = torch.rand(2, 3, 4, 2, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    gram = torch.zeros(2, 10, 10)
    gram[0], gram[1, :6, :6] = first @ first.T, second @ second.T
    mass = torch.ones(2, 10)
    mass[1, 6:] = 0.0
    both = cluster(Points(gram, mass), torch.tensor([4, 2]), uniforms, 50)
    alone = cluster(Points(gram[1:, :6, :6], mass[1:, :6]), torch.tensor([2]), uniforms[1:, :, :2], 50)
    assert both.assignment[1, :6].tolist() == alone.assignment[0].tolist()
    assert both.assignment[1, 6:].tolist() == [-1] * 4
    assert set(both.assignment[1, :6].tolist()) == {0, 1}


def test_empty_clusters_are_filled() -> None:
    """Four points on two spots and two apart, started with all seeds in one spot."""
    points = torch.tensor([[5.0, 0.0], [5.01, 0.0], [0.0, 5.0], [0.0, 5.01], [3.0, -3.0]])
    for seed in range(10):
        result = run(points, 4, restarts=1, seed=seed)
        assert set(result.assignment[0].tolist()) == {0, 1, 2, 3}


@pytest.mark.parametrize("mirrored", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_single_moves_only_ever_lower_the_inertia(seed: int, mirrored: bool) -> None:
    """Nearly orthogonal points, where Lloyd's rule hardly moves any: the result has its inertia and no better move."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(18, 300, generator=generator)
    masses = torch.rand(18, generator=generator) + 0.5
    found = run(values, 5, restarts=1, seed=seed, mass=masses, mirrored=mirrored)
    points = Points(points_to_gram(values), masses.unsqueeze(0), mirrored)
    better = refine(points, found.assignment, found.sign, torch.tensor([5]))
    reached = slow_inertia(values, masses, better.assignment[0].tolist(), better.sign[0].tolist())
    assert float(better.inertia) == pytest.approx(reached, rel=1e-4)
    assert reached <= slow_inertia(values, masses, found.assignment[0].tolist(), found.sign[0].tolist()) * (1 + 1e-6)
    assert set(better.assignment[0].tolist()) == set(range(5))
    for point in range(18):
        for label in range(5):
            for sign in (1.0, -1.0) if mirrored else (1.0,):
                assignment, signs = better.assignment[0].tolist(), better.sign[0].tolist()
                assignment[point], signs[point] = label, sign
                assert slow_inertia(values, masses, assignment, signs) >= reached * (1 - 1e-4)


def slow_inertia(values: torch.Tensor, masses: torch.Tensor, assignment: list[int], signs: list[float]) -> float:
    total = 0.0
    for label in set(assignment):
        members = [index for index, own in enumerate(assignment) if own == label]
        turned = torch.stack([values[index] * signs[index] for index in members]).double()
        weights = masses[members].double().unsqueeze(1)
        centre = (turned * weights).sum(dim=0) / weights.sum()
        total += float(((turned - centre).square() * weights).sum())
    return total
