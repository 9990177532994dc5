"""What two adapters have in common, the slow and obvious way: dense Δ in float64, one SVD each, entry by entry."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from inference_worker.adapter_format.reader import AdapterReader

TOLERANCE = 1e-6


def dense(reader: AdapterReader, name: str) -> Tensor:
    """Δ of one module, (d_out, d_in) float64."""
    a, b = reader.read(name)
    return b.double() @ a.double()


def parts(delta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """U, σ, V of a dense Δ without what is zero."""
    u, sigma, v = torch.linalg.svd(delta, full_matrices=False)
    kept = sigma > TOLERANCE * sigma[0]
    return u[:, kept], sigma[kept], v[kept].T


def projector(basis: Tensor) -> Tensor:
    return basis @ basis.T


def compare_dense(one: Tensor, two: Tensor) -> dict[str, float]:
    """The measures of one module by their definitions."""
    (u1, s1, v1), (u2, s2, v2) = parts(one), parts(two)
    best = []
    for left, right in (((u1, s1, v1), (u2, s2, v2)), ((u2, s2, v2), (u1, s1, v1))):
        matches, weights = [], []
        for p in range(len(left[1])):
            unit = torch.cat([left[0][:, p], left[2][:, p]])
            others = [torch.cat([right[0][:, q], right[2][:, q]]) for q in range(len(right[1]))]
            matches.append(max(abs(float(unit @ other)) / float(unit.norm() * other.norm()) for other in others))
            weights.append(float(left[1][p]) ** 2)
        best.append(np.average(matches, weights=weights))
    smaller = min(len(s1), len(s2))
    return {
        "inner": float((one * two).sum()),
        # tr(P₁P₂) is the sum of the squared cosines of the principal angles.
        "row_overlap": float((projector(v1) @ projector(v2)).trace()) / smaller,
        "column_overlap": float((projector(u1) @ projector(u2)).trace()) / smaller,
        "row_angle": math.degrees(math.acos(min(1.0, float(torch.linalg.svdvals(projector(v1) @ projector(v2))[0])))),
        "column_angle": math.degrees(
            math.acos(min(1.0, float(torch.linalg.svdvals(projector(u1) @ projector(u2))[0])))
        ),
        "unit_overlap": float(np.mean(best)),
        "second_on_first": float((two @ projector(v1)).norm()),
        "first_on_second": float((one @ projector(v2)).norm()),
        "signs": float((one.sign() == two.sign()).double().mean()),
    }
