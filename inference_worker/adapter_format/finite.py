"""NaN and infinity: found without a copy of the numbers, and refused in the same words wherever they stand."""

from __future__ import annotations

import torch
from torch import Tensor

from inference_worker.errors import BadInput


def is_finite(values: Tensor) -> bool:
    """Whether all numbers are finite. The extremes see every NaN and infinity, at a tenth of the time of looking at
    each number by itself."""
    return values.numel() == 0 or all(bool(torch.isfinite(extreme)) for extreme in values.aminmax())


def nonfinite_values(label: str, place: str) -> BadInput:
    """What to raise about the module or tensor ``place`` of the adapter ``label`` (empty where it has no name)."""
    message = f"{label}: {place} holds values that are not finite (NaN or infinity)".removeprefix(": ")
    return BadInput(message, code="nonfinite_values", extra={"adapter": label, "module": place})
