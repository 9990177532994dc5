"""Inner products of many long vectors from short sketches (CountSketch: Charikar, Chen and Farach-Colton, 2002).

n units of length d take n²·d products, which grows with the square of the number of adapters. Folding every vector into
``LENGTH`` numbers with random signs takes n·d and leaves n²·LENGTH.
"""

from __future__ import annotations

import torch
from torch import Tensor

from inference_worker.merging.seeding import module_generator
from inference_worker.merging.stack import ModuleStack, in_range, with_itself

#: From more units than this on, sketches are worth their error.
MANY = 256
#: Numbers of a sketch. Cosines have a standard error of at most 1/√LENGTH = 0.03, which sums of many units average out:
#: clusters lose at most 0.3 % more inertia than those from exact products, whether or not units have much in common.
LENGTH = 1024


def sketched_gram(stack: ModuleStack) -> tuple[Tensor, Tensor]:
    """A·Aᵀ and Bᵀ·B as ``gram`` returns them: lengths exact, angles those of the sketches; both (n, n) float64.

    Equal, opposite and proportional vectors stay so up to rounding. The signs belong to the module's name.
    """
    d_out, d_in = stack.B.shape[0], stack.A.shape[1]
    drawn = module_generator(0, f"{stack.name}\0sketch").integers(0, 2, d_in + d_out)
    signs = torch.from_numpy(2 * drawn - 1).to(stack.A)
    return (
        in_range(lambda rows: _gram(rows.T, signs[:d_in]), stack.A),
        in_range(lambda rows: _gram(rows.T, signs[d_in:]), stack.B.T),
    )


def _gram(columns: Tensor, signs: Tensor) -> Tensor:
    """Inner products of ``columns`` (d, n), signs: (d,)."""
    if len(columns) <= 2 * LENGTH:
        return with_itself(columns.T)
    # Laid out as the columns are, so that adding runs along memory.
    folded = torch.zeros_like(columns[:LENGTH])
    squares = torch.zeros_like(folded)
    for start in range(0, len(columns), LENGTH):
        part = columns[start : start + LENGTH]
        folded[: len(part)].addcmul_(part, signs[start : start + LENGTH].unsqueeze(1))
        squares[: len(part)].addcmul_(part, part)
    inner = with_itself(folded.T).double()
    short = inner.diagonal().clamp_min(0.0)
    stretch = torch.where(short > 0.0, squares.sum(dim=0).double() / short, 0.0).sqrt()
    return inner.mul_(torch.outer(stretch, stretch))
