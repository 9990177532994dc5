"""Numbers in the type that they are exported in, or the reason why they do not fit."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from inference_worker.adapter_format.finite import is_finite
from inference_worker.errors import Refused

#: The types that exports are written in, by the room that they have for large numbers.
TYPES = (torch.float16, torch.bfloat16, torch.float32)


def cast(values: Tensor, dtype: torch.dtype, place: str, types: Sequence[torch.dtype] = TYPES) -> Tensor:
    """``values`` as ``dtype``, contiguous. ``place`` is the tensor or module to name, ``types`` are those that there
    are instead.

    Raises ``Refused`` where anything in the result is NaN or infinite.
    """
    result = values.to(dtype).contiguous()
    if is_finite(result):
        return result
    name = str(dtype).removeprefix("torch.")
    if not is_finite(values):
        words = "values that are not finite (NaN or infinity), in base or adapter or in their sum"
    else:
        largest = float(values.abs().max())
        larger = [str(kind).removeprefix("torch.") for kind in types if largest <= torch.finfo(kind).max]
        advice = f"; export in {' or '.join(larger)} instead" if larger else ""
        words = f"values beyond {name}'s range{advice}"
    raise Refused(f"{place}: {words}.", code="dtype_overflow")
