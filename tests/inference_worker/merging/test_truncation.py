"""Cutting dense matrices to a rank, against the full singular value decomposition."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from inference_worker.merging import truncation
from inference_worker.merging.elementwise import order_by_size, order_statistics
from inference_worker.merging.truncation import truncate_matrix


def sparse(rows: int, cols: int, seed: int = 0) -> Tensor:
    """What elementwise methods make: a low-rank matrix of which only the largest entries are left. A flat spectrum."""
    generator = torch.Generator().manual_seed(seed)
    matrix = torch.randn(rows, 12, generator=generator) @ torch.randn(12, cols, generator=generator)
    return torch.where(matrix.abs() > 4.0, matrix, 0.0)


def best_error(matrix: Tensor, rank: int) -> float:
    sigma = torch.linalg.svdvals(matrix.double())
    return float(sigma[rank:].norm() / sigma.norm())


def generator() -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(1))


@pytest.mark.parametrize("shape", [(60, 90), (90, 60), (5, 40), (40, 5), (1, 1)])
def test_exact_is_the_best_approximation(shape: tuple[int, int]) -> None:
    matrix = sparse(*shape) + 0.1
    for rank in (1, 4, 30):
        found = truncate_matrix(matrix, rank, generator())
        keep = min(rank, *shape)
        assert found.A.shape == (keep, shape[1])
        assert found.B.shape == (shape[0], keep)
        assert found.how == "exact"
        assert found.error == pytest.approx(best_error(matrix, keep), abs=1e-5)
        measured = float((matrix - found.B @ found.A).norm() / matrix.norm())
        assert found.error == pytest.approx(measured, abs=1e-5)
        torch.testing.assert_close(found.A.norm(dim=1), found.B.norm(dim=0), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("shape", [(300, 500), (500, 300)])
def test_randomised_is_nearly_the_best(shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(truncation, "EXACT_WORK", 0)
    for rank in (4, 16, 64):
        matrix = sparse(*shape)
        found = truncate_matrix(matrix, rank, generator())
        assert found.how == "randomised"
        assert best_error(matrix, rank) - 1e-6 <= found.error <= 1.005 * best_error(matrix, rank)
        again = truncate_matrix(matrix, rank, generator())
        assert torch.equal(found.A, again.A)
        assert torch.equal(found.B, again.B)


def test_zeros_and_lost_directions(monkeypatch: pytest.MonkeyPatch) -> None:
    for work in (truncation.EXACT_WORK, 0):
        monkeypatch.setattr(truncation, "EXACT_WORK", work)
        nothing = truncate_matrix(torch.zeros(80, 50), 3, generator())
        assert not nothing.A.any()
        assert not nothing.B.any()
        assert nothing.error == 0.0
        line = torch.outer(torch.arange(80.0), torch.arange(50.0))
        found = truncate_matrix(line, 3, generator())
        torch.testing.assert_close(found.B @ found.A, line, rtol=0, atol=1e-3 * float(line.max()))
        assert found.error < 1e-4


def test_sorting_by_size_keeps_the_order_of_equals() -> None:
    values = torch.randint(-3, 4, (20, 50), generator=torch.Generator().manual_seed(0)).float()
    assert torch.equal(order_by_size(values), values.abs().argsort(dim=-1, stable=True))
    sizes = values.flatten().sort().values
    assert torch.equal(order_statistics(values, 0, 500, 999), sizes[[0, 500, 999]])
