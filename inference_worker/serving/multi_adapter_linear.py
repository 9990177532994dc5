"""One linear module, and for every row of the batch its own low-rank update.

Row b has a stacked pair A'_b (R, d_in), B'_b (d_out, R) in preallocated slots; ranks are padded to a bucket, so that
the whole batch is two batched products: ``y_b = W x_b + B'_b (A'_b x_b)``. Both are stored transposed: as row vectors
times matrices in memory order the products took a fifth of the time of matrices times column vectors (8 rows, 512
wide, rank 16: 9 against 45 µs on one core). Nothing is ever merged into W, so any
number of compositions share one base. The method is the plain form of what Punica and S-LoRA (arXiv 2311.03285) do
with kernels of their own.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from inference_worker.errors import EngineError

SMALLEST_BUCKET = 8


def rank_bucket(rank: int) -> int:
    """The padded rank: 8, 16, then multiples of 16; 0 stays 0."""
    if rank <= 0:
        return 0
    if rank <= SMALLEST_BUCKET:
        return SMALLEST_BUCKET
    return -(-rank // 16) * 16


@dataclass(frozen=True)
class RowFactors:
    """Views of the rows that are about to be computed."""

    At: Tensor  # (rows, d_in, R)
    Bt: Tensor  # (rows, R, d_out)
    gain: Tensor | None  # (rows, 1, d_out)


class ActiveRows:
    """What a layer computes next. It is no attribute of the module itself, since setting those is slow."""

    __slots__ = ("rows",)

    def __init__(self) -> None:
        self.rows: RowFactors | None = None


class MultiAdapterLinear(nn.Module):
    """Wraps ``nn.Linear`` or ``Conv1D``. The slot table sets ``active.rows`` before a pass; None is the base."""

    def __init__(self, base: nn.Module) -> None:
        super().__init__()
        self.base = base
        self.d_out, self.d_in = linear_shape(base)
        self.active = ActiveRows()

    @property
    def weight(self) -> Tensor:
        """The wrapped module's weight, for code of a model that looks at it."""
        weight = self.base.weight
        assert isinstance(weight, Tensor)
        return weight

    @property
    def bias(self) -> Tensor | None:
        bias = self.base.bias
        assert bias is None or isinstance(bias, Tensor)
        return bias

    def forward(self, x: Tensor) -> Tensor:
        """``x`` (…, d_in), its leading dimensions flattening to rows × tokens in row-major order."""
        y: Tensor = self.base(x)
        rows = self.active.rows
        if rows is None:
            return y
        count = rows.At.shape[0]
        if x.numel() % (count * self.d_in):
            raise EngineError(f"An input of shape {tuple(x.shape)} does not divide into {count} rows.")
        x3 = x.reshape(count, -1, self.d_in)  # (rows, tokens, d_in)
        y3 = y.view(count, -1, self.d_out)  # (rows, tokens, d_out)
        if rows.gain is not None:
            y3 = apply_gain(y3, rows.gain, self.bias)
        return add_update(x3, y3, rows.At, rows.Bt).view(y.shape)


def add_update(x: Tensor, y: Tensor, At: Tensor, Bt: Tensor) -> Tensor:
    """``y + B (A x)`` per row, in place of y. x (b, t, d_in), y (b, t, d_out), At (b, d_in, R), Bt (b, R, d_out)."""
    return y.baddbmm_(torch.bmm(x, At), Bt)


def apply_gain(y: Tensor, gain: Tensor, bias: Tensor | None) -> Tensor:
    """DoRA's rescaling of Wx, which leaves the bias alone: y (b, t, d_out), gain (b, 1, d_out)."""
    if bias is None:
        return y * gain
    return (y - bias) * gain + bias


def linear_shape(module: nn.Module) -> tuple[int, int]:
    """(d_out, d_in) of a linear-like module; Conv1D stores its weight transposed."""
    if isinstance(module, nn.Linear):
        return module.out_features, module.in_features
    if isinstance(module, Conv1D):
        d_in, d_out = module.weight.shape
        return int(d_out), int(d_in)
    raise TypeError(f"{type(module).__name__} is not a linear module")


def linear_modules(model: nn.Module) -> dict[str, nn.Module]:
    """Every linear-like module of ``model`` by its dotted name: what an adapter may adapt."""
    return {name: module for name, module in model.named_modules() if isinstance(module, (nn.Linear, Conv1D))}


def wrap_linear_modules(model: nn.Module) -> dict[str, MultiAdapterLinear]:
    """Replace every linear-like module of ``model`` in place; returns the wrappers by the modules' original names."""
    wrapped = {}
    for name, module in linear_modules(model).items():
        parent_name, _, attribute = name.rpartition(".")
        wrapped[name] = MultiAdapterLinear(module)
        setattr(model.get_submodule(parent_name), attribute, wrapped[name])
    return wrapped
