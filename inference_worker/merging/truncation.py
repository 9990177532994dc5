"""Cut a dense matrix to a rank without its full singular value decomposition."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

#: Up to this product of the shorter side and the number of entries the Gram matrix is affordable (a second or so).
EXACT_WORK = 1 << 32
#: Directions beyond the wanted rank, and passes over the matrix: elementwise results have slowly falling spectra.
OVERSAMPLING = 16
POWER_ITERATIONS = 4
#: Entries that the residual is computed for at once.
_BLOCK = 1 << 21


class Truncated(NamedTuple):
    """Balanced factors, ‖M − B·A‖/‖M‖ as measured, and how they were found."""

    A: Tensor  # (k, cols)
    B: Tensor  # (rows, k)
    error: float
    how: Literal["exact", "randomised"]


def truncate_matrix(matrix: Tensor, rank: int, generator: np.random.Generator) -> Truncated:
    """The best approximation of ``matrix`` (rows, cols) of at most ``rank``, and what it misses.

    Exact from the eigenvectors of the smaller Gram matrix (in float64) where that is affordable; else by randomised
    subspace iteration (Halko, Martinsson and Tropp, 2011, algorithm 4.4), whose random start comes from ``generator``.
    Zero for a matrix of zeros. The error is measured either way.
    """
    shorter = min(matrix.shape)
    rank = min(rank, shorter)
    exact = shorter * matrix.numel() <= EXACT_WORK or rank + OVERSAMPLING >= shorter
    right = _gram_vectors(matrix, rank) if exact else _subspace_vectors(matrix, rank, generator)
    image = matrix @ right  # (rows, k), orthogonal columns of length σ
    root = image.norm(dim=0).sqrt()
    b = image / torch.where(root > 0.0, root, 1.0)
    a = (right * root).T.contiguous()
    return Truncated(a, b, relative_residual(matrix, a, b), "exact" if exact else "randomised")


def _gram_vectors(matrix: Tensor, rank: int) -> Tensor:
    """The leading right singular vectors, (cols, rank), by the Gram matrix of the shorter side."""
    wide = matrix.shape[0] < matrix.shape[1]
    doubled = matrix.double()
    gram = doubled @ doubled.T if wide else doubled.T @ doubled
    vectors = torch.linalg.eigh(gram).eigenvectors.flip(1)[:, :rank]
    if not wide:
        return vectors.to(matrix.dtype)
    # Their images are σ·v; QR keeps the order and gives something orthonormal where σ is 0.
    return torch.linalg.qr(doubled.T @ vectors).Q.to(matrix.dtype)


def _subspace_vectors(matrix: Tensor, rank: int, generator: np.random.Generator) -> Tensor:
    """The leading right singular vectors, (cols, rank), by subspace iteration."""
    start = generator.standard_normal((matrix.shape[1], rank + OVERSAMPLING), dtype=np.float32)
    basis = torch.linalg.qr(matrix @ torch.from_numpy(start).to(matrix)).Q
    for _ in range(POWER_ITERATIONS):
        basis = torch.linalg.qr(matrix.T @ basis).Q
        basis = torch.linalg.qr(matrix @ basis).Q
    return torch.linalg.svd(basis.T @ matrix, full_matrices=False).Vh[:rank].T


def relative_residual(matrix: Tensor, a: Tensor, b: Tensor) -> float:
    """‖M − B·A‖_F / ‖M‖_F, 0 for a matrix of zeros, some rows at a time."""
    missing, whole = 0.0, 0.0
    step = max(1, _BLOCK // matrix.shape[1])
    for start in range(0, matrix.shape[0], step):
        rows = slice(start, start + step)
        missing += float((matrix[rows] - b[rows] @ a).double().square().sum())
        whole += float(matrix[rows].double().square().sum())
    return (missing / whole) ** 0.5 if whole > 0.0 else 0.0
