"""``svd``: the best approximation of the weighted sum by a given rank, exact and without the dense matrix."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from inference_worker.contracts.merge_methods import NoOptions
from inference_worker.merging.stack import Merged, ModuleStack


def merge_svd(stacks: Sequence[ModuleStack], rank: int | None, options: NoOptions, seed: int) -> list[Merged]:
    """Rank-k truncated SVD of ΔΣ = B·diag(scale)·A (Eckart and Young, 1936).

    With the Householder factorisations B = Q_B·R_B and Aᵀ = Q_A·R_A the core R_B·diag(scale)·R_Aᵀ is at most n×n and
    has the singular values of ΔΣ. Q is never formed: its reflectors are applied to the k vectors that are kept.
    k defaults to the largest rank among the adapters, and is at most what the module can have.
    """
    return [_merge_one(stack, rank) for stack in stacks]


def _merge_one(stack: ModuleStack, rank: int | None) -> Merged:
    reflectors_b, tau_b = torch.geqrf(stack.B)  # (d_out, n)
    reflectors_a, tau_a = torch.geqrf(stack.A.T)  # (d_in, n)
    upper_b, upper_a = _upper(reflectors_b), _upper(reflectors_a)
    core = upper_b.double() @ torch.diag(stack.scale) @ upper_a.double().T
    left, sigma, right = torch.linalg.svd(core, full_matrices=False)
    keep = min(rank or max(stack.ranks), sigma.shape[0])
    root = sigma[:keep].sqrt()
    b = _apply(reflectors_b, tau_b, left[:, :keep] * root)
    a = _apply(reflectors_a, tau_a, right[:keep].T * root).T
    total = float(sigma.norm())
    error = float(sigma[keep:].norm()) / total if total > 0.0 else 0.0
    return Merged(a.contiguous(), b.contiguous(), error=error)


def _upper(reflectors: Tensor) -> Tensor:
    """R, (min(d, n), n), of a packed QR factorisation."""
    return torch.triu(reflectors[: min(reflectors.shape)])


def _apply(reflectors: Tensor, tau: Tensor, vectors: Tensor) -> Tensor:
    """Q·vectors for vectors: (min(d, n), k); the result is (d, k) float32."""
    padded = torch.zeros(reflectors.shape[0], vectors.shape[1])
    padded[: vectors.shape[0]] = vectors
    return torch.ormqr(reflectors, tau, padded)
