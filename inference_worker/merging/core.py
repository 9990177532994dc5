"""Small cores of tall factors: every update of a module has rank ≤ Σr, so all spectral methods live in n×n matrices.

With B = Q_B·R_B and Aᵀ = Q_A·R_A (Householder), every weighted update is Δ_i = Q_B·C_i·Q_Aᵀ with a core C_i of at most
n×n, n = Σr. Q has orthonormal columns, so inner products, norms and singular values of cores are those of the updates.
Q is never formed: its reflectors are applied to the few vectors that are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from inference_worker.merging.seeding import module_generator
from inference_worker.merging.stack import Merged, ModuleStack

#: Singular values below this share of the largest are rounding of float32 factors and count as zero.
NULL = 2e-6
#: Neighbouring singular values closer than this share of the largest are equal up to rounding.
TIED = 1e-5


@dataclass(frozen=True)
class Basis:
    """Q of a tall matrix X = Q·R, X: (d, n), kept as Householder reflectors; m = min(d, n) columns."""

    reflectors: Tensor  # (d, n) float32
    tau: Tensor  # (m,)
    upper: Tensor  # R: (m, n) float64

    @classmethod
    def of(cls, columns: Tensor) -> Basis:
        reflectors, tau = torch.geqrf(columns)
        return cls(reflectors, tau, torch.triu(reflectors[: min(reflectors.shape)]).double())

    def lift(self, coordinates: Tensor) -> Tensor:
        """Q·coordinates for coordinates: (m, k); the result is (d, k) float32."""
        padded = self.reflectors.new_zeros(self.reflectors.shape[0], coordinates.shape[1])
        padded[: coordinates.shape[0]] = coordinates
        return torch.ormqr(self.reflectors, self.tau, padded)

    def project(self, vectors: Tensor) -> Tensor:
        """Qᵀ·vectors for vectors: (d, k); the result is (m, k) float64."""
        turned = torch.ormqr(self.reflectors, self.tau, vectors.to(self.reflectors), transpose=True)
        return turned[: self.upper.shape[0]].double()


@dataclass(frozen=True)
class Core:
    """A module's adapters in core coordinates; the core of adapter i, without its weight, is lefts[i]·rights[i]ᵀ."""

    left: Basis  # of the outputs
    right: Basis  # of the inputs
    lefts: tuple[Tensor, ...]  # (m_out, r_i) float64 each, the adapter's scale folded in
    rights: tuple[Tensor, ...]  # (m_in, r_i) float64 each
    weights: Tensor  # (K,) float64

    @classmethod
    def of(cls, stack: ModuleStack) -> Core:
        ranks = list(stack.ranks)
        left, right = Basis.of(stack.B), Basis.of(stack.A.T)
        weights = stack.scale.new_tensor(stack.weights or [1.0] * len(ranks))
        folded = zip((left.upper * stack.scale).split(ranks, 1), weights, strict=True)
        return cls(left, right, tuple(part / weight for part, weight in folded), right.upper.split(ranks, 1), weights)

    def combine(self, coefficients: Tensor) -> Tensor:
        """The core of Σ c_i Δ_i, (m_out, m_in). coefficients: (K,)."""
        scaled = [left * coefficient for left, coefficient in zip(self.lefts, coefficients, strict=True)]
        return torch.cat(scaled, 1) @ torch.cat(self.rights, 1).T

    def total(self) -> Tensor:
        """The core of Σ w_i Δ_i, (m_out, m_in)."""
        return self.combine(self.weights)

    def cores(self) -> Tensor:
        """All C_i without their weights, (K, m_out, m_in)."""
        return torch.stack([left @ right.T for left, right in zip(self.lefts, self.rights, strict=True)])

    def inner_products(self) -> Tensor:
        """⟨Δ_i, Δ_j⟩ without weights, (K, K): sums over blocks of ⟨b_p, b_q⟩·⟨a_p, a_q⟩ of their units."""
        left, right = torch.cat(self.lefts, 1), torch.cat(self.rights, 1)
        of_units = (left.T @ left) * (right.T @ right)
        ranks = self.weights.new_tensor([part.shape[1] for part in self.lefts]).long()
        owns = torch.eye(len(ranks), dtype=left.dtype, device=left.device).repeat_interleave(
            ranks, 0
        )  # (n, K), 1 at the unit's adapter
        return owns.T @ of_units @ owns

    def weighted(self) -> tuple[Tensor, ...]:
        """``lefts`` with the adapters' weights."""
        return tuple(left * weight for left, weight in zip(self.lefts, self.weights, strict=True))

    def norms(self) -> Tensor:
        """‖w_i Δ_i‖, (K,)."""
        return self.inner_products().diagonal().clamp_min(0.0).sqrt() * self.weights.abs()

    def present(self) -> list[tuple[Tensor, Tensor]]:
        """Weighted (left, right) of the adapters whose update is not zero."""
        parts = zip(self.lefts, self.rights, self.weights, self.norms(), strict=True)
        return [(left * weight, right) for left, right, weight, norm in parts if float(norm) > 0.0]


def keep_rank(stack: ModuleStack, rank: int | None, sigma: Tensor) -> int:
    """How many of the singular values ``sigma`` to keep: the wanted rank, by default the largest among the adapters,
    and never more than there are."""
    return min(rank or max(stack.ranks), sigma.shape[0])


def count_nonzero(sigma: Tensor, whole: float = 0.0) -> int:
    """How many of the descending singular values are not rounding, next to the largest or to what was added up."""
    return int((sigma > NULL * sigma[:1].clamp_min(whole)).sum())


def truncate(stack: ModuleStack, left: Basis, right: Basis, matrix: Tensor, rank: int | None) -> Merged:
    """The best factors of Q_left·matrix·Q_rightᵀ of the wanted rank (Eckart and Young), with the relative error."""
    u, sigma, vh = torch.linalg.svd(matrix, full_matrices=False)
    keep = keep_rank(stack, rank, sigma)
    total = float(sigma.norm())
    error = float(sigma[keep:].norm()) / total if total > 0.0 else 0.0
    return assemble(left, right, u[:, :keep], sigma[:keep], vh[:keep].T, error)


def assemble(left: Basis, right: Basis, u: Tensor, sigma: Tensor, v: Tensor, error: float | None) -> Merged:
    """Factors of Σ σ_j u_j v_jᵀ in full coordinates, balanced. u: (m_out, k), v: (m_in, k)."""
    root = sigma.sqrt()
    return Merged(right.lift(v * root).T.contiguous(), left.lift(u * root).contiguous(), error=error)


def nothing(stack: ModuleStack) -> Merged:
    """The update of adapters that are all zero: one zero rank."""
    return Merged(stack.A.new_zeros(1, stack.A.shape[1]), stack.B.new_zeros(stack.B.shape[0], 1), error=0.0)


def svd_of_product(left: Tensor, right: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """SVD of left·rightᵀ without forming it. left: (m, r), right: (p, r); U: (m, r), σ: (r,), V: (p, r)."""
    q_left, r_left = torch.linalg.qr(left)
    q_right, r_right = torch.linalg.qr(right)
    u, sigma, vh = torch.linalg.svd(r_left @ r_right.T, full_matrices=False)
    return q_left @ u, sigma, q_right @ vh.T


def left_singular(lefts: Sequence[Tensor], rights: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Left singular vectors (m, p) and values (p,) of [C_1 … C_K], C_i = lefts[i]·rights[i]ᵀ, which is never formed."""
    # C_i = left·Tᵀ·Qᵀ with rights[i] = Q·T, and orthonormal columns of the Q do not change the left vectors.
    narrow = [left @ torch.linalg.qr(right).R.T for left, right in zip(lefts, rights, strict=True)]
    u, sigma, _ = torch.linalg.svd(torch.cat(narrow, 1), full_matrices=False)
    return u, sigma


def shared_directions(lefts: Sequence[Tensor], rights: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """``left_singular`` without the zero ones."""
    u, sigma = left_singular(lefts, rights)
    keep = count_nonzero(sigma)
    return u[:, :keep], sigma[:keep]


def polar(matrix: Tensor) -> Tensor:
    """The nearest matrix with orthonormal columns (Procrustes, 'whitening'); dependent columns share a direction.

    U·Vᵀ over the nonzero singular values only: the others have arbitrary vectors, which would add noise.
    """
    u, sigma, vh = torch.linalg.svd(matrix, full_matrices=False)
    keep = count_nonzero(sigma)
    return u[:, :keep] @ vh[:keep]


def settle(basis: Basis, vectors: Tensor, sigma: Tensor, stack: ModuleStack) -> Tensor:
    """Singular vectors with their freedom removed, so that the order of ranks cannot show. vectors: (m, p).

    A singular vector is known up to its sign, vectors of equal singular values up to a rotation. Each such group is
    turned to lie closest to fixed random directions of the full space, which belong to the module's name.
    """
    group = torch.cat([sigma.new_zeros(1), (sigma[:-1] - sigma[1:] > TIED * sigma[0]).double()]).cumsum(0).long()
    sizes = group.bincount()
    noise = module_generator(0, stack.name).standard_normal((int(sizes.max()), basis.reflectors.shape[0]))
    near = vectors.T @ basis.project(torch.from_numpy(noise).T)  # (p, largest group)
    settled = vectors * torch.where(near[:, :1] < 0.0, -1.0, 1.0).T
    start = 0
    for size in sizes.tolist():
        rows = slice(start, start + size)
        if size > 1:
            settled[:, rows] = vectors[:, rows] @ polar(near[rows, :size])
        start += size
    return settled
