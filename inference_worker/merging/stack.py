"""The input of every merge method: one module of all adapters, stacked along the rank."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

#: Between these sums of squares float32 has lost nothing that counts.
_SQUARES = (1e-28, 1e36)


@dataclass
class ModuleStack:
    """All adapters' factors of one module. The weighted sum is ΔΣ = B · diag(scale) · A.

    Adapters without this module, and those of weight 0, are simply not in it. The factors are as stored; scales and
    weights stay apart in ``scale`` because methods fold them in differently. The tensors may lie in buffers that are
    used again for the next group, so a method returns new tensors.
    """

    name: str
    A: Tensor  # (n, d_in) float32, n = Σ r_i
    B: Tensor  # (d_out, n) float32
    scale: Tensor  # (n,) float64, w_i · s_i of the unit's adapter
    owner: Tensor  # (n,) int64, index of the unit's adapter
    ranks: tuple[int, ...]  # of the adapters present, in their order
    weights: tuple[float, ...] = ()  # w_i of the adapters present, for methods that tell it from s_i; empty: all 1
    #: (index, w_i) of all adapters that are merged, those without this module included; empty: those present.
    line_up: tuple[tuple[int, float], ...] = ()
    #: Per kind of matrix the size of the smallest entry that each adapter present keeps, (K,) float32, where whole
    #: adapters are trimmed at once (see ``trimming``).
    limits: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def members(self) -> tuple[int, ...]:
        """The indices of the adapters present, in their order."""
        last = self.owner.new_tensor(self.ranks).cumsum(0) - 1
        return tuple(self.owner[last].tolist())

    @property
    def size(self) -> int:
        return self.A.shape[0]

    @property
    def first_member(self) -> int:
        """The index of the first adapter that is merged, whether or not it has this module."""
        return self.line_up[0][0] if self.line_up else int(self.owner[0])

    @property
    def total_weight(self) -> float:
        """Σ|w_i| over all adapters that are merged."""
        weights = [weight for _, weight in self.line_up] or self.weights or [1.0] * len(self.ranks)
        return sum(map(abs, weights))


@dataclass
class Merged:
    """One module of the result: canonical factors (Δ = B·A), error as in ``MergedModule`` and the method's detail."""

    A: Tensor  # (k, d_in)
    B: Tensor  # (d_out, k)
    error: float | None = None
    detail: dict[str, Any] = field(default_factory=dict)


def gram(stack: ModuleStack) -> tuple[Tensor, Tensor]:
    """A·Aᵀ and Bᵀ·B of the stored factors, both (n, n) float64 (accumulated in float32)."""
    return in_range(with_itself, stack.A), in_range(with_itself, stack.B.T)


def in_range(products: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
    """Inner ``products`` (n, n) of ``rows`` (n, d) as float64, whatever their sizes.

    How an update is split into factors is free, so one may be tiny and the other huge. Where squares leave the range of
    float32, all is done again on rows brought to values around 1 by powers of two, which round nothing.
    """
    found = products(rows).double()
    squares = found.diagonal()
    odd = ~((squares > _SQUARES[0]) & (squares < _SQUARES[1]))
    if not bool(odd.any()) or not bool(rows[odd].any()):
        return found
    exponents = torch.frexp(rows.abs().amax(dim=1)).exponent
    sizes = torch.exp2(exponents.double())
    return products(torch.ldexp(rows, -exponents.unsqueeze(1))).double().mul_(torch.outer(sizes, sizes))


def squared_norms(rows: Tensor) -> Tensor:
    """‖row‖² of every row of (n, d), (n,) float64, added up in float32 where that has room for the squares."""
    found = rows.square().sum(dim=1).double()
    odd = ~((found > _SQUARES[0]) & (found < _SQUARES[1]))
    return torch.linalg.vector_norm(rows, dim=1, dtype=torch.float64).square() if bool(odd.any()) else found


def product(left: Tensor, right: Tensor) -> Tensor:
    """left · right. NumPy's BLAS takes a fifth less time than torch's for factors of adapters."""
    if left.device.type != "cpu":
        return left @ right
    return torch.from_numpy(left.numpy() @ right.numpy())


def with_itself(rows: Tensor) -> Tensor:
    """rows · rowsᵀ for rows: (n, d). BLAS needs half the work for it when it is told, and numpy tells it; torch does
    not. Callers keep BLAS to one thread (see the pipeline), or the last bits would depend on the number of cores."""
    if rows.device.type != "cpu":
        return rows @ rows.T
    values = rows.numpy()
    with np.errstate(over="ignore", invalid="ignore"):  # See ``in_range``.
        return torch.from_numpy(values @ values.T)


def relative_error(stack: ModuleStack, left: Tensor, right: Tensor) -> float:
    """‖B·(left·right − diag(scale))·A‖_F / ‖B·diag(scale)·A‖_F, for results of the form (B·left)·(right·A).

    left: (n, k), right: (k, n). Only Gram matrices are needed: ‖B·M·A‖² = ⟨M, (BᵀB)·M·(AAᵀ)⟩.
    """
    gram_a, gram_b = gram(stack)
    wanted = torch.diag(stack.scale)
    difference = left.double() @ right.double() - wanted
    squared = [float((matrix * (gram_b @ matrix @ gram_a)).sum().clamp_min(0.0)) for matrix in (difference, wanted)]
    return (squared[0] / squared[1]) ** 0.5 if squared[1] > 0.0 else 0.0
