"""Fixed-weight compositions of low-rank updates.

A composition of members i with weights w_i adds ``Δy = Σ w_i B_i A_i x`` to every linear module, which is one pair of
stacked factors: ``[A_1; …; A_k]`` of shape (Σr, d_in) and ``[w_1 B_1 … w_k B_k]`` of shape (d_out, Σr). This is the
``cat`` merge, done per request and without a new adapter. A module that a member lacks counts as Δ = 0 and nothing is
renormalised.

A member with DoRA magnitudes does not add to ``Wx``, it also rescales it: ``y_i = g_i ⊙ (Wx + B_i A_i x)`` with
``g = m / ‖W + BA‖_row`` (Liu et al. 2024, section 4.1). Its contribution beyond the base is
``(g_i − 1) ⊙ Wx + g_i ⊙ B_i A_i x``, hence the stacked factors plus one gain ``1 + Σ w_i (g_i − 1)`` per output.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import torch
from torch import Tensor

from inference_worker.errors import BadInput


@dataclass(frozen=True)
class ModuleFactors:
    """One adapted linear module in canonical form, Δ = B·A (scales folded in)."""

    A: Tensor  # (r, d_in)
    B: Tensor  # (d_out, r); rows already multiplied by the gain where there is one
    gain: Tensor | None = None  # (d_out,) float32, DoRA's m / ‖W + BA‖_row

    @property
    def rank(self) -> int:
        return int(self.A.shape[0])

    @property
    def nbytes(self) -> int:
        gain = 0 if self.gain is None else self.gain.nbytes
        return self.A.nbytes + self.B.nbytes + gain


class HasModules(Protocol):
    """Anything that maps module names to factors: a loaded adapter."""

    @property
    def modules(self) -> dict[str, ModuleFactors]: ...


Member = TypeVar("Member", bound=HasModules, covariant=True)


@dataclass(frozen=True)
class Composition(Generic[Member]):
    """Weighted members. Weight 0 means absent, so such members are dropped on construction with ``compose``."""

    members: tuple[tuple[Member, float], ...] = ()

    def parts(self, module: str) -> list[tuple[ModuleFactors, float]]:
        """The members that adapt ``module``, with their weights, in order."""
        return [(member.modules[module], weight) for member, weight in self.members if module in member.modules]

    def module_names(self) -> set[str]:
        """Every module that at least one member adapts."""
        return {name for member, _ in self.members for name in member.modules}

    def rank(self, module: str) -> int:
        """Σ r_i of the stacked factors of ``module``; 0 where nobody adapts it."""
        return sum(factors.rank for factors, _ in self.parts(module))


def compose(members: Iterable[tuple[Member, float]]) -> Composition[Member]:
    """Build a composition; raises ``BadInput`` for a weight that is not finite."""
    kept = []
    for member, weight in members:
        if not math.isfinite(weight):
            raise BadInput(f"An adapter's weight is {weight}; give a finite number.", code="weight_not_finite")
        if weight != 0.0:
            kept.append((member, weight))
    return Composition(tuple(kept))


def write_stacked(parts: Sequence[tuple[ModuleFactors, float]], A: Tensor, B: Tensor) -> None:
    """Write the stacked factors into ``A`` (R, d_in) and ``B`` (d_out, R), R ≥ Σr; the rest is set to zero.

    Padding with zero ranks changes nothing: B·A gains only zero terms.
    """
    used = 0
    for factors, weight in parts:
        rank = factors.rank
        A[used : used + rank].copy_(factors.A)
        torch.mul(factors.B, weight, out=B[:, used : used + rank])
        used += rank
    A[used:].zero_()
    B[:, used:].zero_()


def combined_gain(parts: Sequence[tuple[ModuleFactors, float]]) -> Tensor | None:
    """``1 + Σ w_i (g_i − 1)`` (d_out,), or None when no member has a gain."""
    gains = [(factors.gain, weight) for factors, weight in parts if factors.gain is not None]
    if not gains:
        return None
    total = torch.ones_like(gains[0][0])
    for gain, weight in gains:
        total += weight * (gain - 1.0)
    return total
