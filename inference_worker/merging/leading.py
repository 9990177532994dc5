"""The largest singular triplets of Σ w_i·Δ_i where they are few beside Σr, without the singular values of its core.

A·Aᵀ = L·Lᵀ makes the rows of L⁻¹·A orthonormal, so LᵀGL with G = BᵀB has the squared singular values of B·A and the
eigenvectors that belong to them; of these only the first are asked for. All that is float32 and squares the condition,
so it only says where to look: one step of subspace iteration with the factors themselves, a few directions more than
wanted, gives triplets as exact as QR factorisations do (Rayleigh and Ritz; Halko, Martinsson and Tropp, 2011), and
another one measures their residual. Whoever does not like what it says takes the whole core.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import eigh
from torch import Tensor

from inference_worker.merging.stack import ModuleStack, gram, product

#: So many times more units than directions that are looked for make this the shorter way.
WORTH = 4
#: Relative residual ‖Δv − σu‖/σ up to which triplets are right: singular values are then to its square.
RESIDUAL = 1e-4
#: A squared error is what is left of 1; below this it is measured badly.
SMALL_ERROR = 1e-3


class Leading(NamedTuple):
    """Σ w_i·Δ_i ≈ U·diag(σ)·Vᵀ, and the relative error of leaving out the rest."""

    u: Tensor  # (d_out, k) float32
    sigma: Tensor  # (k,) float64
    v: Tensor  # (d_in, k) float32
    error: float


class _Small(NamedTuple):
    """What all units are to each other, in a gauge in which a and b of a unit are equally long."""

    gram_a: NDArray[np.float32]  # (n, n)
    gram_b: NDArray[np.float32]
    factor_b: Tensor  # (n,) float64: b in that gauge is factor_b · b, up to one number for all
    squared: float  # ‖Σ w_i·Δ_i‖²


def leading_part(stack: ModuleStack, rank: int) -> Leading | None:
    """The ``rank`` largest triplets; None where the whole core is the shorter or the only exact way."""
    some = rank + max(8, rank // 2)
    if WORTH * some > stack.size or stack.A.device.type != "cpu":
        return None
    try:
        return _find(stack, rank, some)
    except (np.linalg.LinAlgError, torch.linalg.LinAlgError):
        return None  # Units that depend on each other, or numbers that overflow on the way.


def _find(stack: ModuleStack, rank: int, some: int) -> Leading | None:
    small = _balance(stack)
    if small is None:
        return None
    start = _directions(small, some)
    scale = stack.scale.to(stack.A).unsqueeze(1)
    left = torch.linalg.qr(product(stack.B, start)).Q
    image = product(stack.A.T, product(stack.B.T, left) * scale)  # Δᵀ·left
    v, sigma, turn = _svd(image)
    first, values = product(left, turn.to(left)), sigma.to(left)
    image = product(stack.B, product(stack.A, v) * scale)  # Δ·v
    residual = (image - first * values)[:, :rank].norm(dim=0) / values[:rank]
    if not bool((residual <= RESIDUAL).all()):
        return None
    u, sigma, turn = _svd(image)
    squared = 1.0 - float(sigma[:rank].square().sum()) / small.squared
    if squared < SMALL_ERROR:
        return None
    return Leading(u[:, :rank], sigma[:rank], product(v, turn[:, :rank].to(v)), math.sqrt(squared))


def _balance(stack: ModuleStack) -> _Small | None:
    """None where a unit is zero or numbers leave the range of float32."""
    gram_a, gram_b = gram(stack)
    size = stack.scale.abs()
    norm_a, norm_b = gram_a.diagonal().sqrt(), gram_b.diagonal().sqrt()
    balance = (norm_a / norm_b).sqrt()
    factor_a, factor_b = size.sqrt() / balance, size.sqrt() * balance * stack.scale.sign()
    gram_a.mul_(torch.outer(factor_a, factor_a))
    gram_b.mul_(torch.outer(factor_b, factor_b))
    squared = float((gram_a * gram_b).sum())
    mean = float(gram_a.diagonal().mean())
    if not (math.isfinite(squared) and squared > 0.0 and bool((size * norm_a * norm_b > 0.0).all())):
        return None
    return _Small((gram_a / mean).float().numpy(), (gram_b / mean).float().numpy(), factor_b, squared)


def _directions(small: _Small, count: int) -> Tensor:
    """Coefficients of B's columns whose combinations span about the first left singular vectors, (n, count)."""
    lower, n = np.linalg.cholesky(small.gram_a), len(small.gram_a)
    squares = lower.T @ small.gram_b @ lower
    vectors = eigh(squares, subset_by_index=[n - count, n - 1], overwrite_a=True, check_finite=False)[1]
    return torch.from_numpy(lower @ vectors[:, ::-1]) * small.factor_b.float().unsqueeze(1)


def _svd(columns: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of a tall matrix (d, p): U (d, p) in its type, σ (p,) and V (p, p) in float64."""
    q, upper = torch.linalg.qr(columns)
    u, sigma, vh = torch.linalg.svd(upper.double())
    return product(q, u.to(q)), sigma, vh.T
