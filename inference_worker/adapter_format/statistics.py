"""What one module's Δ = B·A looks like, from small cores instead of the dense matrix."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor


class ModuleMeasure(NamedTuple):
    """``norm`` is ‖Δ‖_F; ``effective_rank`` is exp of the entropy of σ/Σσ (Roy and Vetterli, 2007), 0 for Δ = 0."""

    norm: float
    effective_rank: float


class TallCore:
    """The triangle R of M = Q·R for a tall M (n, r) that comes in blocks of rows and is never held.

    M has the singular values of R, and M₁·M₂ᵀ those of R₁·R₂ᵀ. Each block is put under the R so far and factorised
    again (Demmel et al., 2012, sequential TSQR), all in one piece of memory: for rank 1024 every copy of it would be
    12 MB. Blocks are scaled to values below 1 by a power of two, which rounds nothing, so that neither huge nor tiny
    numbers overflow in the middle: M = 2^exponent · Q·R.
    """

    def __init__(self) -> None:
        self.exponent = 0
        self.R: Tensor | None = None  # (at most r, r) float32; None while everything is zero
        self._work = torch.empty(0, 0)  # (rows of R + rows of the block, r), column-major as LAPACK has it

    def hold(self, block: Tensor) -> Tensor:
        """A copy of ``block`` (k, r) as float32, for ``scale`` and ``factorise``; the next one is written over it."""
        kept, length = 0 if self.R is None else len(self.R), len(block)
        if self._work.shape != (kept + length, block.shape[1]):
            self._work = torch.empty(block.shape[1], kept + length).mT
            if self.R is not None:
                self.R = self._work[:kept].copy_(self.R)
        return self._work[kept:].copy_(block)

    def scale(self, rows: Tensor) -> bool:
        """Multiply ``rows``, which ``hold`` returned and which are finite, by 2^-exponent. False if all are zero."""
        low, high = rows.aminmax()
        largest = max(-float(low), float(high))
        if largest == 0.0:
            return False
        exponent = math.frexp(largest)[1]
        if self.R is None:
            self.exponent = exponent
        elif exponent > self.exponent:
            shift_(self.R, self.exponent - exponent)
            self.exponent = exponent
        shift_(rows, -self.exponent)
        return True

    def factorise(self) -> None:
        """Take the scaled rows up into R. They are overwritten."""
        torch.geqrf(self._work, out=(self._work, torch.empty(0)))
        self.R = self._work[: self._work.shape[1]].triu_()

    def add(self, block: Tensor) -> None:
        """Take a block (k, r) of finite numbers."""
        if self.scale(self.hold(block)):
            self.factorise()

    def settle(self) -> None:
        """Give the memory back that blocks were held in, and keep R."""
        if self.R is not None:
            self.R = self.R.clone()
        self._work = torch.empty(0, 0)


def shift_(values: Tensor, exponent: int) -> None:
    """Multiply ``values`` by 2^exponent in place; in two steps, because the factor itself may be no float32."""
    half = exponent // 2
    values.mul_(2.0**half).mul_(2.0 ** (exponent - half))


def measure_cores(a: TallCore, b: TallCore) -> ModuleMeasure:
    """Norm and effective rank of B·A from the cores of Aᵀ (d_in, r) and B (d_out, r).

    The product is taken in float64 so that cancelling ranks do not leave noise.
    """
    if a.R is None or b.R is None:
        return ModuleMeasure(0.0, 0.0)
    sigma = torch.linalg.svdvals(b.R.double() @ a.R.double().T)
    total = float(sigma.sum())
    if total == 0.0:
        return ModuleMeasure(0.0, 0.0)
    share = sigma / total
    entropy = -float((share * share.clamp_min(1e-30).log()).sum())
    return ModuleMeasure(math.ldexp(float(sigma.norm()), a.exponent + b.exponent), math.exp(entropy))


def measure(a: Tensor, b: Tensor) -> ModuleMeasure:
    """Norm and effective rank of B·A for finite a: (r, d_in) and b: (d_out, r), both float32."""
    cores = TallCore(), TallCore()
    for core, tall in zip(cores, (a.T, b), strict=True):
        core.add(tall)
    return measure_cores(*cores)
