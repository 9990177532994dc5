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

    def add(self, name: str, probes: Tensor) -> None:
        """Add module ``name`` with its 32 probes (float64) up to a positive factor."""
        norm = float(probes.norm())
        if norm > 0.0:
            self._sum += Signs(name, "projection", DIMENSIONS, PROBES).columns(0, PROBES).double() @ (probes / norm)

    def finish(self) -> tuple[float, ...]:
        """256 numbers of unit length; all zero for an adapter without effect."""
        norm = float(self._sum.norm())
        return tuple((self._sum / norm if norm > 0.0 else self._sum).tolist())


class HalfProbe:
    """One side of a module's probes: S·M (32, r) for a factor M (n, r), Aᵀ or B, that comes in blocks of rows.

    S has −1 and +1 that depend on the module's name, the side (``left`` for B, ``right`` for Aᵀ) and n only.
    """

    def __init__(self, name: str, side: str, length: int) -> None:
        self._signs = Signs(name, side, PROBES, length)
        self._position = 0
        self._sum: Tensor | None = None  # (32, r) float64, in units of 2^exponent
        self._exponent = 0

    def add(self, rows: Tensor, exponent: int = 0) -> None:
        """Take the next block: ``rows`` (k, r) float32 times 2^exponent, which never falls."""
        part = (self._signs.columns(self._position, self._position + len(rows)) @ rows).double()
        self._position += len(rows)
        if self._sum is None:
            self._sum, self._exponent = part, exponent
            return
        self._sum.mul_(2.0 ** max(self._exponent - exponent, -1000)).add_(part)
        self._exponent = exponent

    @property
    def sums(self) -> Tensor:
        """S·M in float64, in units of 2 to the last exponent."""
        assert self._sum is not None
        return self._sum


def join(left: HalfProbe, right: HalfProbe) -> Tensor:
    """The 32 probes uᵀ(B·A)v of one module in float64."""
    return (left.sums * right.sums).sum(dim=1)


def probe(name: str, a: Tensor, b: Tensor) -> Tensor:
    """The probes of one module with a: (r, d_in), b: (d_out, r), float32."""
    left, right = HalfProbe(name, "left", b.shape[0]), HalfProbe(name, "right", a.shape[1])
    left.add(b)
    right.add(a.T)
    return join(left, right)


class Signs:
    """A (rows, columns) matrix of −1 and +1 that depends on the name, the use and the shape only; kept as bits."""

    def __init__(self, name: str, use: str, rows: int, columns: int) -> None:
        what = [_VERSION, name.encode(), use.encode(), f"{rows}x{columns}".encode()]
        seed = hashlib.sha256(b"\0".join(what)).digest()
        generator = np.random.Generator(np.random.PCG64(int.from_bytes(seed[:16], "little")))
        self._bits = np.frombuffer(generator.bytes((rows * columns + 7) // 8), dtype=np.uint8)
        self._shape = rows, columns

    def columns(self, start: int, stop: int) -> Tensor:
        """The columns from ``start`` up to ``stop`` in float32."""
        rows, columns = self._shape
        if (start, stop) == (0, columns):
            bits = np.unpackbits(self._bits, count=rows * columns).reshape(rows, columns)
        else:
            bits = np.stack([self._row(row * columns + start, row * columns + stop) for row in range(rows)])
        return torch.from_numpy(bits.astype(np.float32)).mul_(2.0).sub_(1.0)

    def _row(self, start: int, stop: int) -> np.ndarray:
        """Bits from ``start`` up to ``stop``."""
        first = start // 8
        return np.unpackbits(self._bits[first : (stop + 7) // 8])[start - 8 * first : stop - 8 * first]
