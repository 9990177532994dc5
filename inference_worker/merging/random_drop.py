"""Drop entries at random and make up for it, in two ways: what DARE and DELLA share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

import torch
from torch import Tensor

from inference_worker.merging.elementwise import drop_at_random
from inference_worker.merging.spaces import Updates

#: Probabilities of staying for values (K, rows, cols): one number, or of the values' shape.
Keep = Callable[[Tensor], Tensor | float]


def dropped_blocks(
    updates: Updates, keep: Keep, rescale: Literal["probability", "l1"]
) -> Iterator[tuple[slice, Tensor]]:
    """Blocks of rows with entries dropped at random: (rows, values (K, rows, cols)).

    ``probability`` divides each entry by its own probability, so that its expectation is the entry. ``l1`` brings each
    adapter's matrix back to the sum of sizes that it had, as mergekit does; this looks at all blocks twice.
    """
    if rescale == "probability":
        for rows, values, uniforms in updates.random_blocks():
            yield rows, drop_at_random(values, uniforms, keep(values))
        return
    before = torch.zeros_like(updates.weights, dtype=torch.float64)
    after = torch.zeros_like(before)
    for _, values, uniforms in updates.random_blocks():
        before += values.abs().sum(dim=(1, 2), dtype=torch.float64)
        after += _kept(values, uniforms, keep).abs().sum(dim=(1, 2), dtype=torch.float64)
    gain = torch.where(after > 0.0, before / after, 1.0).to(updates.weights)[:, None, None]
    for rows, values, uniforms in updates.random_blocks():
        yield rows, _kept(values, uniforms, keep) * gain


def _kept(values: Tensor, uniforms: Tensor, keep: Keep) -> Tensor:
    return torch.where(uniforms < keep(values), values, 0.0)
