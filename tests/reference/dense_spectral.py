"""The spectral merges written down from their papers: dense matrices, loops, float64. Nothing here is quick."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Matrices = Sequence[Tensor]  # one dense (d_out, d_in) float64 per adapter
#: Merges the coordinates of all adapters, equally shaped, into one.
Elementwise = Callable[[Matrices], Tensor]


def svd(matrix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """U, σ, Vᵀ without the zero singular values."""
    u, sigma, vh = torch.linalg.svd(matrix.double(), full_matrices=False)
    count = int((sigma > 1e-6 * sigma.max()).sum())
    return u[:, :count], sigma[:count], vh[:count]


def total(deltas: Matrices, weights: Sequence[float]) -> Tensor:
    return torch.stack([weight * delta for weight, delta in zip(weights, deltas, strict=True)]).sum(dim=0)


def slerp(first: Tensor, second: Tensor, t: float) -> Tensor:
    """As mergekit has it: the angle of the directions, the factors on the matrices as they are."""
    cosine = float((first / first.norm() * second / second.norm()).sum())
    angle = math.acos(cosine)
    return (math.sin((1 - t) * angle) * first + math.sin(t * angle) * second) / math.sin(angle)


def slerp_of_directions(first: Tensor, second: Tensor, t: float) -> Tensor:
    """Shoemake's formula on unit vectors, the size in a straight line."""
    size = (1 - t) * first.norm() + t * second.norm()
    return size * slerp(first / first.norm(), second / second.norm(), t)


def karcher(deltas: Matrices, weights: Sequence[float], steps: int = 500) -> Tensor:
    """mergekit's iteration with weights, run until it stands still."""
    share = [abs(weight) / sum(map(abs, weights)) for weight in weights]
    norms = [float(delta.norm()) for delta in deltas]
    units = [math.copysign(1, w) * delta / norm for w, delta, norm in zip(weights, deltas, norms, strict=True)]
    mean = total(units, share)
    mean = mean / mean.norm()
    for _ in range(steps):
        tangent = torch.zeros_like(mean)
        for alpha, unit in zip(share, units, strict=True):
            cosine = float((mean * unit).sum().clamp(-1, 1))
            angle = math.acos(cosine)
            if angle > 1e-8:
                tangent = tangent + alpha * angle / math.sin(angle) * (unit - cosine * mean)
        step = float(tangent.norm())
        if step < 1e-12:
            break
        mean = math.cos(step) * mean + math.sin(step) * tangent / step
        mean = mean / mean.norm()
    return sum(alpha * norm for alpha, norm in zip(share, norms, strict=True)) * mean


def iso_c(deltas: Matrices, weights: Sequence[float], rank: int, mean_of: int | None = None) -> Tensor:
    """``mean_of``: how many of the largest singular values the mean is taken of; those that are kept unless told."""
    u, sigma, vh = svd(total(deltas, weights))
    return float(sigma[: mean_of or rank].mean()) * u[:, :rank] @ vh[:rank]


def iso_cts(deltas: Matrices, weights: Sequence[float], rank: int, common: int, own: int) -> Tensor:
    """``common`` directions of the sum and ``own`` of every adapter, for a rank of all of them together."""
    assert common + own * len(deltas) == rank
    u, sigma, vh = svd(total(deltas, weights))
    lefts, values, rights = [u[:, :common]], [sigma[:common]], [vh[:common].T]
    for weight, delta in zip(weights, deltas, strict=True):
        rest = weight * delta - u[:, :common] @ u[:, :common].T @ (weight * delta)
        own_u, own_sigma, own_vh = svd(rest)
        lefts.append(own_u[:, :own])
        values.append(own_sigma[:own])
        rights.append(own_vh[:own].T)
    return float(torch.cat(values).mean()) * orthogonal(torch.cat(lefts, 1)) @ orthogonal(torch.cat(rights, 1)).T


def orthogonal(matrix: Tensor) -> Tensor:
    """The solution of the Procrustes problem: U·Vᵀ."""
    u, _, vh = svd(matrix)
    return u @ vh


def tsv_m(deltas: Matrices, weights: Sequence[float], keep: Sequence[int]) -> Tensor:
    """``keep``: how many singular directions each adapter keeps."""
    lefts, values, rights = [], [], []
    for weight, delta, count in zip(weights, deltas, keep, strict=True):
        u, sigma, vh = svd(weight * delta)
        lefts.append(u[:, :count])
        values.append(sigma[:count])
        rights.append(vh[:count].T)
    return orthogonal(torch.cat(lefts, 1)) @ torch.diag(torch.cat(values)) @ orthogonal(torch.cat(rights, 1)).T


def knots(deltas: Matrices, merge: Elementwise) -> Tensor:
    width = deltas[0].shape[1]
    u, sigma, vh = svd(torch.cat(list(deltas), 1))
    aligned = [torch.diag(sigma) @ vh[:, index * width : (index + 1) * width] for index in range(len(deltas))]
    return u @ merge(aligned)


def core_space(a: Matrices, b: Matrices, merge: Elementwise) -> Tensor:
    """a: (r_i, d_in), b: (d_out, r_i); the bases of the stacked factors."""
    right, left = svd(torch.cat(list(a), 0))[2], svd(torch.cat(list(b), 1))[0]
    return left @ merge([left.T @ b_i @ a_i @ right.T for a_i, b_i in zip(a, b, strict=True)]) @ right


def core_space_of_updates(deltas: Matrices, merge: Elementwise) -> Tensor:
    left, right = svd(torch.cat(list(deltas), 1))[0], svd(torch.cat(list(deltas), 0))[2]
    return left @ merge([left.T @ delta @ right.T for delta in deltas]) @ right


def ties(values: Matrices, weights: Sequence[float], density: float) -> Tensor:
    """Number by number: keep the largest, let the larger total win, average those that agree with it."""
    kept = []
    for weight, matrix in zip(weights, values, strict=True):
        sizes = sorted(matrix.abs().flatten().tolist(), reverse=True)
        limit = sizes[max(1, int(density * len(sizes))) - 1]
        kept.append([weight * value if abs(value) >= limit else 0.0 for value in matrix.flatten().tolist()])
    merged = []
    for votes in zip(*kept, strict=True):
        winner = sum(votes)
        agreeing = [vote for vote in votes if vote * winner > 0]
        merged.append(sum(agreeing) / len(agreeing) if agreeing else 0.0)
    return torch.tensor(merged, dtype=torch.float64).view_as(values[0])
