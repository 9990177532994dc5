"""A fingerprint of what an adapter does, for finding near-duplicates whatever their files look like.

Per module 32 random bilinear probes uᵀ(B·A)v with u, v ∈ {−1, +1}; the module's probes are scaled to unit length, all
modules are concatenated and projected to 256 numbers of unit length. Probes see only Δ = B·A, so permuting ranks,
rescaling B against A or rotating the rank space changes nothing. Everything random is seeded by the module's name, so
two adapters are comparable module by module; modules that only one has are probed where the other has zero.
"""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from torch import Tensor

PROBES = 32
DIMENSIONS = 256
_VERSION = b"brickyard-signature-1"


class SignatureBuilder:
    """Adds up the projections of modules one at a time; the order of modules does not matter beyond rounding."""

    def __init__(self) -> None:
        self._sum = torch.zeros(DIMENSIONS, dtype=torch.float64)

    def add(self, name: str, a: Tensor, b: Tensor) -> None:
        """Add module ``name`` with a: (r, d_in), b: (d_out, r), float32."""
        probes = probe(name, a, b)
        norm = float(probes.norm())
        if norm > 0.0:
            self._sum += _signs(name, "projection", DIMENSIONS, PROBES).double() @ (probes / norm)

    def finish(self) -> tuple[float, ...]:
        """256 numbers of unit length; all zero for an adapter without effect."""
        norm = float(self._sum.norm())
        return tuple((self._sum / norm if norm > 0.0 else self._sum).tolist())


def probe(name: str, a: Tensor, b: Tensor) -> Tensor:
    """The 32 probes uᵀ(B·A)v of one module in float64."""
    left = _signs(name, "left", PROBES, b.shape[0]) @ b  # (32, r)
    right = _signs(name, "right", PROBES, a.shape[1]) @ a.T  # (32, r)
    return (left.double() * right.double()).sum(dim=1)


def _signs(name: str, use: str, rows: int, columns: int) -> Tensor:
    """A (rows, columns) float32 matrix of −1 and +1 that depends on the name, the use and the shape only."""
    seed = hashlib.sha256(b"\0".join([_VERSION, name.encode(), use.encode(), f"{rows}x{columns}".encode()])).digest()
    generator = np.random.Generator(np.random.PCG64(int.from_bytes(seed[:16], "little")))
    count = rows * columns
    bits = np.unpackbits(np.frombuffer(generator.bytes((count + 7) // 8), dtype=np.uint8), count=count)
    return torch.from_numpy(bits.reshape(rows, columns).astype(np.float32)).mul_(2.0).sub_(1.0)
