"""One module of an adapter as singular units: the same numbers for every way to write its factors."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

#: Units below this share of the largest are rounding noise of float32 factors; their directions mean nothing.
_NOISE = 1e-6
#: Rows and columns at which the signs of Δ are looked at: 4,096 positions of every module.
_SAMPLED = 64


@dataclass(frozen=True)
class Units:
    """Δ = U·diag(sigma)·Vᵀ with orthonormal columns, and Δ at sampled positions, over its largest singular value."""

    sigma: Tensor  # (k,) float64, largest first; k may be 0
    U: Tensor  # (d_out, k) float32, what the adapter writes
    V: Tensor  # (d_in, k) float32, what it reads
    sample: Tensor  # (rows, columns) float32

    @property
    def norm(self) -> float:
        return float(self.sigma.norm())


def units_of(name: str, a: Tensor, b: Tensor) -> Units:
    """The units of module ``name`` with a: (r, d_in) and b: (d_out, r), float32 and finite.

    From two thin QR factorisations and the SVD of an r×r core in float64. Factors are scaled to values of at most 1
    first, so that neither huge nor tiny numbers overflow in the middle.
    """
    largest_a, largest_b = float(a.abs().max()), float(b.abs().max())
    if largest_a == 0.0 or largest_b == 0.0:
        return _no_units(name, a, b)
    q_a, r_a = torch.linalg.qr(a.T / largest_a)
    q_b, r_b = torch.linalg.qr(b / largest_b)
    left, sigma, right = torch.linalg.svd(r_b.double() @ r_a.double().T, full_matrices=False)
    kept = sigma > _NOISE * sigma[0]
    if not bool(kept.any()):
        return _no_units(name, a, b)
    u, v = q_b @ left[:, kept].float(), q_a @ right[kept].T.float()
    relative = (sigma[kept] / sigma[0]).float()
    rows, columns = _positions(name, b.shape[0], a.shape[1])
    return Units(sigma[kept] * largest_a * largest_b, u, v, (u[rows] * relative) @ v[columns].T)


def _no_units(name: str, a: Tensor, b: Tensor) -> Units:
    rows, columns = _positions(name, b.shape[0], a.shape[1])
    nothing = torch.zeros(0, dtype=torch.float64)
    return Units(nothing, b[:, :0], a[:0].T, torch.zeros(len(rows), len(columns)))


def _positions(name: str, d_out: int, d_in: int) -> tuple[Tensor, Tensor]:
    """Rows and columns that depend on the module's name and shape only, so that any two adapters share them."""
    seed = hashlib.sha256(f"composability\0{name}\0{d_out}x{d_in}".encode()).digest()
    generator = np.random.Generator(np.random.PCG64(int.from_bytes(seed[:16], "little")))
    rows, columns = (generator.permutation(length)[:_SAMPLED] for length in (d_out, d_in))
    return torch.from_numpy(rows), torch.from_numpy(columns)
