"""Measures of one module of two adapters, from their singular units: products of at most r × r numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from inference_worker.composability.units import Units


@dataclass(frozen=True)
class ModulePair:
    """One module that both change. ``inner`` is ⟨Δ₁, Δ₂⟩; ``answers`` are ‖Δ₂V₁‖ and ‖Δ₁V₂‖; angles in degrees."""

    inner: float
    sign_agreement: float
    row_overlap: float
    row_chance: float
    row_angle: float
    column_overlap: float
    column_chance: float
    column_angle: float
    unit_overlap: float
    answers: tuple[float, float]


def compare_units(one: Units, two: Units) -> ModulePair | None:
    """None where one of them changes nothing: there is no direction to compare."""
    if not len(one.sigma) or not len(two.sigma):
        return None
    rows = (one.V.T @ two.V).double()  # (k₁, k₂), cosines between what both read
    columns = (one.U.T @ two.U).double()
    energy = one.sigma.square(), two.sigma.square()
    return ModulePair(
        inner=float(one.sigma @ (rows * columns) @ two.sigma),
        sign_agreement=_sign_agreement(one.sample, two.sample),
        row_overlap=_overlap(rows),
        row_chance=max(rows.shape) / one.V.shape[0],
        row_angle=_smallest_angle(rows),
        column_overlap=_overlap(columns),
        column_chance=max(columns.shape) / one.U.shape[0],
        column_angle=_smallest_angle(columns),
        unit_overlap=_unit_overlap(rows, columns, energy),
        answers=(
            math.sqrt(float(rows.square().sum(dim=0) @ energy[1])),
            math.sqrt(float(rows.square().sum(dim=1) @ energy[0])),
        ),
    )


def _sign_agreement(one: Tensor, two: Tensor) -> float:
    """Share of the positions where both are not zero and have one sign; 0.5 where there is none."""
    product = one * two
    same, other = int((product > 0).sum()), int((product < 0).sum())
    return same / (same + other) if same + other else 0.5


def _overlap(cosines: Tensor) -> float:
    """Mean squared cosine of the principal angles: ‖QᵀQ′‖² over the smaller dimension (Björck and Golub, 1973)."""
    return min(1.0, float(cosines.square().sum()) / min(cosines.shape))


def _smallest_angle(cosines: Tensor) -> float:
    return math.degrees(math.acos(min(1.0, float(torch.linalg.matrix_norm(cosines, 2)))))


def _unit_overlap(rows: Tensor, columns: Tensor, energy: tuple[Tensor, Tensor]) -> float:
    """Mean of both directions. (−u, −v) is the same unit, so the sign of the sum does not count."""
    likeness = (rows + columns).abs() / 2  # (k₁, k₂)
    best = (
        float(likeness.amax(dim=1) @ energy[0] / energy[0].sum()),
        float(likeness.amax(dim=0) @ energy[1] / energy[1].sum()),
    )
    return min(1.0, sum(best) / 2)
