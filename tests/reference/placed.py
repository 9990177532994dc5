"""A guard for code that is to run on any device, for where there is none but the processor."""

from __future__ import annotations

from typing import Any

import torch
from torch.overrides import TorchFunctionMode


class Placed(TorchFunctionMode):
    """Fails where a tensor is made without saying on which device."""

    MAKERS = ("arange", "empty", "eye", "full", "linspace", "ones", "rand", "randn", "tensor", "zeros")

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if function in {getattr(torch, name) for name in self.MAKERS}:
            assert "device" in kwargs, f"torch.{function.__name__} without a device"
        return function(*args, **kwargs)
