"""Spectral methods against dense matrices and the papers' formulas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from reference import dense_spectral as dense
from reference.dense_merges import truncate
from reference.module_stacks import product, stack_of
from reference.random_factors import random_factors
from torch import Tensor

from inference_worker.adapter_format import Factors
from inference_worker.contracts.merge_methods.spectral import (
    SPECTRAL,
    CoordinateOptions,
    CoreSpaceOptions,
    IsoCOptions,
    IsoCtsOptions,
    KarcherOptions,
    SlerpOptions,
    TsvMOptions,
)
from inference_worker.merging import METHODS
from inference_worker.merging.core import Basis, Core, settle
from inference_worker.merging.core_space import merge_core_space
from inference_worker.merging.iso_c import merge_iso_c
from inference_worker.merging.iso_cts import merge_iso_cts
from inference_worker.merging.karcher import merge_karcher
from inference_worker.merging.knots import merge_knots
from inference_worker.merging.slerp import merge_slerp
from inference_worker.merging.tsv_m import merge_tsv_m

WEIGHTS = [1.0, -0.6, 1.7]
RANKS = (4, 3, 6)


@pytest.fixture
def parts() -> list[Factors]:
    """Alike enough to interfere: each has something in common with the first."""
    first = random_factors(0, 6)
    mixed = [random_factors(seed, rank) for seed, rank in zip((1, 2, 3), RANKS, strict=True)]
    return [Factors(f.A + first.A[: f.A.shape[0]], f.B + first.B[:, : f.B.shape[1]]) for f in mixed]


def deltas(parts: list[Factors]) -> list[Tensor]:
    return [product(part) for part in parts]


def assert_close(actual: Tensor, expected: Tensor, tolerance: float = 1e-5) -> None:
    torch.testing.assert_close(actual.double(), expected, rtol=0, atol=tolerance * float(expected.norm()))


@pytest.mark.parametrize("t", [0.0, 0.3, 0.5, 1.0])
@pytest.mark.parametrize(("norms", "reference"), [("mergekit", dense.slerp), ("linear", dense.slerp_of_directions)])
def test_slerp(t: float, norms: str, reference, parts: list[Factors]) -> None:  # type: ignore[no-untyped-def]
    weights = [2.0, -0.5]
    stack = stack_of(parts[:2], weights)
    merged = merge_slerp([stack], 7, SlerpOptions(t=t, norms=norms), 0)[0]
    first, second = deltas(parts[:2])
    assert_close(product(merged), reference(2.0 * first, -0.5 * second, t))
    assert merged.error == pytest.approx(0.0, abs=1e-6)


def test_slerp_of_parallel_and_opposite_updates_is_a_line(parts: list[Factors]) -> None:
    twice = [parts[0], parts[0]]
    for weights, factor in (([1.0, 3.0], 0.75 + 0.75), ([1.0, -1.0], 0.75 - 0.25)):
        merged = merge_slerp([stack_of(twice, weights)], 4, SlerpOptions(t=0.25), 0)[0]
        assert_close(product(merged), factor * product(parts[0]))


def test_slerp_where_one_lacks_the_module(parts: list[Factors]) -> None:
    """Absent counts as zero, on the right side of t."""
    for owner, factor in ((3, 0.9), (5, 0.1)):
        alone = stack_of(parts[:1], [2.0])
        stack = replace(alone, owner=torch.full_like(alone.owner, owner), line_up=((3, 2.0), (5, 2.0)))
        merged = merge_slerp([stack], 4, SlerpOptions(t=0.1), 0)[0]
        assert_close(product(merged), factor * 2.0 * product(parts[0]))


def test_karcher(parts: list[Factors]) -> None:
    merged = merge_karcher([stack_of(parts, WEIGHTS)], 13, KarcherOptions(), 0)[0]
    assert_close(product(merged), dense.karcher(deltas(parts), WEIGHTS))


def test_karcher_after_mergekits_ten_steps(parts: list[Factors]) -> None:
    merged = merge_karcher([stack_of(parts, [1.0] * 3)], 13, KarcherOptions(iterations=10), 0)[0]
    assert_close(product(merged), dense.karcher(deltas(parts), [1.0] * 3, steps=10))


def test_karcher_counts_those_without_the_module(parts: list[Factors]) -> None:
    line_up = ((0, 1.0), (1, 1.0), (2, 2.0))
    stack = replace(stack_of(parts[:2], [1.0, 1.0]), line_up=line_up)
    merged = merge_karcher([stack], 7, KarcherOptions(), 0)[0]
    assert_close(product(merged), 0.5 * dense.karcher(deltas(parts[:2]), [1.0, 1.0]))
    nothing = Factors(parts[2].A, torch.zeros_like(parts[2].B))
    merged = merge_karcher([stack_of([*parts[:2], nothing], [1.0, 1.0, 2.0])], 7, KarcherOptions(), 0)[0]
    assert_close(product(merged), 0.5 * dense.karcher(deltas(parts[:2]), [1.0, 1.0]))


def test_karcher_of_two_equals_slerp_of_directions(parts: list[Factors]) -> None:
    merged = merge_karcher([stack_of(parts[:2], [1.0, 3.0])], 7, KarcherOptions(), 0)[0]
    first, second = deltas(parts[:2])
    assert_close(product(merged), dense.slerp_of_directions(first, second, 0.75))


def test_directions_that_cancel_have_no_mean(parts: list[Factors]) -> None:
    merged = merge_karcher([stack_of([parts[0], parts[0]], [1.0, -1.0])], 4, KarcherOptions(), 0)[0]
    assert float(product(merged).norm()) == 0.0


@pytest.mark.parametrize("rank", [1, 5, 13])
def test_iso_c_of_the_whole_span(rank: int, parts: list[Factors]) -> None:
    merged = merge_iso_c([stack_of(parts, WEIGHTS)], rank, IsoCOptions(mean="span"), 0)[0]
    assert_close(product(merged), dense.iso_c(deltas(parts), WEIGHTS, rank, mean_of=sum(p.A.shape[0] for p in parts)))


@pytest.mark.parametrize("rank", [1, 5, 13])
def test_iso_c(rank: int, parts: list[Factors]) -> None:
    merged = merge_iso_c([stack_of(parts, WEIGHTS)], rank, IsoCOptions(), 0)[0]
    assert_close(product(merged), dense.iso_c(deltas(parts), WEIGHTS, rank))
    sigma = torch.linalg.svdvals(dense.total(deltas(parts), WEIGHTS))
    assert merged.error == pytest.approx(float(sigma[rank:].norm() / sigma.norm()), abs=1e-5)


def test_iso_c_ignores_the_zeros_of_the_spectrum(parts: list[Factors]) -> None:
    """Two copies of one adapter have its rank, whatever the asked one; the sum of σ stays what it was."""
    merged = merge_iso_c([stack_of([parts[0], parts[0]], [0.5, 0.5])], 8, IsoCOptions(), 0)[0]
    assert merged.A.shape[0] == 4
    sigma = torch.linalg.svdvals(product(merged))[:4]
    assert_close(sigma, torch.linalg.svdvals(product(parts[0]))[:4].mean().expand(4))


@pytest.mark.parametrize(
    ("rank", "share", "common", "own"), [(10, 0.4, 4, 2), (13, 0.8, 10, 1), (6, 1.0, 6, 0), (3, 0.0, 0, 1)]
)
def test_iso_cts(rank: int, share: float, common: int, own: int, parts: list[Factors]) -> None:
    merged = merge_iso_cts([stack_of(parts, WEIGHTS)], rank, IsoCtsOptions(common=share), 0)[0]
    assert_close(product(merged), dense.iso_cts(deltas(parts), WEIGHTS, rank, common, own))
    assert merged.A.shape[0] <= rank


@pytest.mark.parametrize(("keep", "counts"), [(0.0, (1, 1, 2)), (0.5, (2, 1, 3)), (1.0, RANKS)])
def test_tsv_m(keep: float, counts: tuple[int, ...], parts: list[Factors]) -> None:
    expected = dense.tsv_m(deltas(parts), WEIGHTS, counts)
    merged = merge_tsv_m([stack_of(parts, WEIGHTS)], 13, TsvMOptions(keep=keep), 0)[0]
    assert_close(product(merged), expected)
    cut = merge_tsv_m([stack_of(parts, WEIGHTS)], 2, TsvMOptions(keep=keep), 0)[0]
    assert_close(product(cut), truncate(expected, 2))
    missing = float((product(cut) - expected).norm() / expected.norm())
    assert cut.error == pytest.approx(missing, abs=1e-5)


@pytest.mark.parametrize("density", [0.2, 0.7, 1.0])
def test_knots(density: float, parts: list[Factors]) -> None:
    expected = dense.knots(deltas(parts), lambda values: dense.ties(values, WEIGHTS, density))
    merged = merge_knots([stack_of(parts, WEIGHTS)], 13, CoordinateOptions(density=density), 0)[0]
    assert_close(product(merged), expected)
    cut = merge_knots([stack_of(parts, WEIGHTS)], 3, CoordinateOptions(density=density), 0)[0]
    assert_close(product(cut), truncate(expected, 3))


def test_knots_sees_scales(parts: list[Factors]) -> None:
    """alpha stands in ``scale`` until here; the elementwise half must see it, though not the weight."""
    scaled = [Factors(part.A, factor * part.B) for part, factor in zip(parts, (0.5, 3.0, 1.0), strict=True)]
    stack = stack_of(parts, WEIGHTS, scales=[0.5, 3.0, 1.0])
    expected = dense.knots(deltas(scaled), lambda values: dense.ties(values, WEIGHTS, 0.4))
    assert_close(product(merge_knots([stack], 13, CoordinateOptions(density=0.4), 0)[0]), expected)


@pytest.mark.parametrize("density", [0.2, 0.7, 1.0])
def test_core_space(density: float, parts: list[Factors]) -> None:
    a, b = [part.A.double() for part in parts], [part.B.double() for part in parts]
    expected = dense.core_space(a, b, lambda values: dense.ties(values, WEIGHTS, density))
    merged = merge_core_space([stack_of(parts, WEIGHTS)], 13, CoreSpaceOptions(density=density), 0)[0]
    assert_close(product(merged), expected)


def test_core_space_of_updates(parts: list[Factors]) -> None:
    options = CoreSpaceOptions(density=0.4, basis="updates")
    expected = dense.core_space_of_updates(deltas(parts), lambda values: dense.ties(values, WEIGHTS, 0.4))
    assert_close(product(merge_core_space([stack_of(parts, WEIGHTS)], 13, options, 0)[0]), expected)
    # The same updates from factors that are split otherwise.
    gauge = [torch.logspace(-1, 1, part.A.shape[0]) for part in parts]
    split = [Factors(p.A * g.unsqueeze(1), p.B / g) for p, g in zip(parts, gauge, strict=True)]
    assert_close(product(merge_core_space([stack_of(split, WEIGHTS)], 13, options, 0)[0]), expected)


@pytest.mark.parametrize("merge", [merge_knots, merge_core_space])
def test_sum_in_coordinates_loses_nothing(merge, parts: list[Factors]) -> None:  # type: ignore[no-untyped-def]
    for kind in ("sum", "dare_linear"):
        merged = merge([stack_of(parts, WEIGHTS)], 13, CoreSpaceOptions(merge=kind, density=1.0), 0)[0]
        assert_close(product(merged), dense.total(deltas(parts), WEIGHTS))


@pytest.mark.parametrize("merge", [merge_knots, merge_core_space])
def test_isotropic_sum_in_coordinates_is_iso_c(merge, parts: list[Factors]) -> None:  # type: ignore[no-untyped-def]
    merged = merge([stack_of(parts, WEIGHTS)], 5, CoreSpaceOptions(merge="sum", isotropic=True), 0)[0]
    assert_close(product(merged), dense.iso_c(deltas(parts), WEIGHTS, 5))


@pytest.mark.parametrize("merge", [merge_knots, merge_core_space])
def test_dare_is_right_on_average_and_reproducible(merge, parts: list[Factors]) -> None:  # type: ignore[no-untyped-def]
    options = CoreSpaceOptions(merge="dare_linear", density=0.5)
    stack = stack_of(parts, WEIGHTS)
    runs = [product(merge([stack], 13, options, seed)[0]) for seed in range(60)]
    assert torch.equal(runs[0], product(merge([stack], 13, options, 0)[0]))
    assert not torch.allclose(runs[0], runs[1])
    expected = dense.total(deltas(parts), WEIGHTS)
    spread = float(torch.stack(runs).var(dim=0).sum() / len(runs)) ** 0.5
    assert float((torch.stack(runs).mean(dim=0) - expected).norm()) < 1.5 * spread


@pytest.mark.parametrize(("d_in", "d_out"), [(9, 7), (5, 40)])
def test_ranks_beyond_the_matrix(d_in: int, d_out: int) -> None:
    """Σr is more than a side of the matrix: bases are square, and nothing is lost or made up."""
    parts = [random_factors(seed, rank, d_in=d_in, d_out=d_out) for seed, rank in enumerate(RANKS)]
    stack, dense_parts, most = stack_of(parts, WEIGHTS), deltas(parts), min(d_in, d_out)
    a, b = [part.A.double() for part in parts], [part.B.double() for part in parts]

    def ties(values: Sequence[Tensor]) -> Tensor:
        return dense.ties(values, WEIGHTS, 0.5)

    options = CoreSpaceOptions(density=0.5)
    assert_close(product(merge_knots([stack], 13, options, 0)[0]), dense.knots(dense_parts, ties))
    assert_close(product(merge_core_space([stack], 13, options, 0)[0]), dense.core_space(a, b, ties))
    assert_close(product(merge_iso_c([stack], most, IsoCOptions(), 0)[0]), dense.iso_c(dense_parts, WEIGHTS, most))
    assert_close(product(merge_karcher([stack], 13, KarcherOptions(), 0)[0]), dense.karcher(dense_parts, WEIGHTS))
    counts = [min(rank, most) for rank in RANKS]
    expected = dense.tsv_m(dense_parts, WEIGHTS, counts)
    assert_close(product(merge_tsv_m([stack], 13, TsvMOptions(keep=1.0), 0)[0]), expected)


@pytest.mark.gpu
@pytest.mark.parametrize("method", [info.name for info in SPECTRAL])
def test_same_on_a_gpu(method: str, parts: list[Factors]) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    count = 2 if method == "slerp" else 3
    stack, options = stack_of(parts[:count], WEIGHTS[:count]), METHODS[method].info.options()
    expected = product(METHODS[method].merge([stack], 5, options, 0)[0])
    for field in ("A", "B", "scale", "owner"):
        setattr(stack, field, getattr(stack, field).cuda())
    assert_close(product(METHODS[method].merge([stack], 5, options, 0)[0]).cpu(), expected)


def test_settled_directions_do_not_show_the_rotation() -> None:
    """Signs, and rotations among equal singular values, are arbitrary; what comes out is not."""
    generator = torch.Generator().manual_seed(0)
    stack = stack_of([random_factors(0, 6)], [1.0])
    basis = Basis.of(stack.B)
    vectors = torch.linalg.qr(torch.randn(6, 6, generator=generator, dtype=torch.float64)).Q
    sigma = torch.tensor([3.0, 2.0, 2.0, 2.0, 1.0, 1.0], dtype=torch.float64)
    expected = settle(basis, vectors, sigma, stack)
    rotation = torch.eye(6, dtype=torch.float64)
    rotation[0, 0] = -1
    rotation[1:4, 1:4] = torch.linalg.qr(torch.randn(3, 3, generator=generator, dtype=torch.float64)).Q
    rotation[4:, 4:] = torch.tensor([[0.6, 0.8], [-0.8, 0.6]])
    torch.testing.assert_close(settle(basis, vectors @ rotation, sigma, stack), expected)
    torch.testing.assert_close(expected.T @ expected, torch.eye(6, dtype=torch.float64))
    torch.testing.assert_close(expected[:, 1:4] @ expected[:, 1:4].T, vectors[:, 1:4] @ vectors[:, 1:4].T)


def test_core_holds_norms_and_products(parts: list[Factors]) -> None:
    stack = stack_of(parts, WEIGHTS, scales=[2.0, 0.1, 1.0])
    cores = Core.of(stack).cores()
    scaled = [factor * delta for factor, delta in zip((2.0, 0.1, 1.0), deltas(parts), strict=True)]
    for one, first in zip(cores, scaled, strict=True):
        for two, second in zip(cores, scaled, strict=True):
            expected = float((first * second).sum())
            assert float((one * two).sum()) == pytest.approx(expected, abs=1e-5 * float(first.norm() * second.norm()))
