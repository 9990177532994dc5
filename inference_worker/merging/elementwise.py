"""The steps that elementwise merges are made of: plain functions of K equally shaped matrices, on any device.

``values`` is always (K, rows, cols), one matrix per adapter without its weight, and ``weights`` is (K,). Whether the
matrices are updates, cores or factors is the caller's business (see ``spaces``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from inference_worker.merging.seeding import module_generator
from inference_worker.merging.stack import ModuleStack

#: Whose sign wins a position: the larger total, or the greater number of adapters.
Majority = Literal["total", "frequency"]
#: What a sum over agreeing adapters is divided by: their number, the sum of their weights' sizes, or nothing.
Average = Literal["count", "weight", "sum"]

#: Votes that differ by no more than this share of all that were cast have cancelled; the rest is rounding.
TIED = 1e-6


def order_statistics(numbers: Tensor, *indices: int) -> Tensor:
    """The smallest of ``numbers`` but ``index``, for every index; (len(indices),). Scrambles ``numbers``."""
    flat = numbers.view(-1)
    if flat.device.type != "cpu":
        return torch.stack([flat.kthvalue(index + 1).values for index in indices])
    # NumPy's selection takes a thirtieth of the time of torch's on the CPU, and no memory.
    flat.numpy().partition(indices)
    return flat[list(indices)]


def order_by_size(values: Tensor) -> Tensor:
    """Positions along the last dimension from the smallest |entry| to the largest, equal ones in their order."""
    if values.device.type != "cpu" or values.dtype != torch.float32:
        return values.abs().argsort(dim=-1, stable=True)
    # The bits of a float that is not negative are ordered as it is. With the position below them every key is another,
    # so that NumPy's fastest sort is stable; it takes a seventh of the time of torch's.
    bits = values.abs().numpy().view(np.int32).astype(np.int64)
    keys = np.sort((bits << 32) | np.arange(values.shape[-1]), axis=-1)
    return torch.from_numpy(keys & 0xFFFFFFFF)


def kept_count(count: int, density: float) -> int:
    """How many of ``count`` entries a density keeps: rounded down, at least one."""
    return max(1, int(density * count))


def smallest_kept(matrix: Tensor, density: float) -> Tensor:
    """The size of the smallest of the ``density`` · numel largest entries of one matrix; 0-dim."""
    count = matrix.numel()
    keep = kept_count(count, density)
    return matrix.new_zeros(()) if keep >= count else order_statistics(matrix.abs(), count - keep)[0]


def trim(values: Tensor, density: float) -> Tensor:
    """Zero all but the largest entries of every matrix by itself (TIES, step 1); what ties with the last one stays."""
    limits = torch.stack([smallest_kept(matrix, density) for matrix in values])
    return drop_below(values, limits)


def drop_below(values: Tensor, limits: Tensor) -> Tensor:
    """Zero what is smaller than its adapter's limit; ``limits`` is (K,), and sizes are compared in its type."""
    return torch.where(values.abs().to(limits.dtype) >= limits[:, None, None], values, 0.0)


def elect_signs(values: Tensor, majority: Majority = "total") -> Tensor:
    """The sign that wins each position (TIES, step 2), (rows, cols) of −1, 0 and 1.

    0 where the votes cancel, up to rounding: nothing is elected then, so that negating all inputs negates the result.
    """
    if majority == "frequency":
        return values.sign().sum(dim=0).sign()
    total = values.sum(dim=0)
    return torch.where(total.abs() > TIED * values.abs().sum(dim=0), total.sign(), 0.0)


def elect_signs_as_peft(values: Tensor, majority: Majority = "total") -> Tensor:
    """As PEFT and mergekit do: +1 where the votes cancel."""
    votes = values.sum(dim=0) if majority == "total" else values.sign().sum(dim=0)
    return torch.where(votes >= 0.0, 1.0, -1.0).to(values)


def disjoint_mean(values: Tensor, weights: Tensor, agree: Tensor, average: Average = "count") -> Tensor:
    """Σ wᵢ·valueᵢ over the adapters that agree at a position, divided by their number or by Σ|wᵢ| (TIES, step 3).

    ``agree`` is (K, rows, cols) bool. Dividing by |wᵢ| keeps the sign of negative weights. 0 where nobody agrees.
    """
    spread = weights[:, None, None]
    total = (values * spread * agree).sum(dim=0)
    if average == "sum":
        return total
    if average == "count":
        return total / agree.sum(dim=0).clamp_min(1)
    divisor = (spread.abs() * agree).sum(dim=0)
    return torch.where(divisor > 0.0, total / divisor, 0.0)


def resolve_signs(
    values: Tensor, weights: Tensor, majority: Majority = "total", average: Average = "count", as_peft: bool = False
) -> Tensor:
    """Elect signs and average the values that agree: TIES without its trimming, (rows, cols).

    The votes are weighted, so that an adapter of negative weight votes for what it contributes, and where they cancel
    nothing is elected. ``as_peft``: votes without weights, +1 where they cancel.
    """
    votes = values if as_peft else values * weights[:, None, None]
    elected = elect_signs_as_peft(votes, majority) if as_peft else elect_signs(votes, majority)
    return disjoint_mean(values, weights, (votes.sign() == elected) & (elected != 0.0), average)


def ties(
    values: Tensor, weights: Tensor, density: float, majority: Majority = "total", average: Average = "count"
) -> Tensor:
    """TIES (Yadav et al., NeurIPS 2023, arXiv 2306.01708): trim, elect signs, average those that agree."""
    return resolve_signs(trim(values, density), weights, majority, average)


def weighted_sum(values: Tensor, weights: Tensor) -> Tensor:
    """Σ wᵢ·valueᵢ, (rows, cols)."""
    return torch.einsum("k,krc->rc", weights, values)


def drop_at_random(values: Tensor, uniforms: Tensor, keep: Tensor | float) -> Tensor:
    """Keep every entry with probability ``keep`` and divide it by that (DARE, arXiv 2311.03099).

    ``uniforms``: as ``values``, from [0, 1). ``keep`` broadcasts against them and lies in (0, 1].
    """
    return torch.where(uniforms < keep, values / keep, 0.0)


def adapter_identities(stack: ModuleStack) -> list[str]:
    """A digest of each adapter's content in this module, whatever the order of adapters and of ranks.

    Random masks are drawn by it, so that equal adapters get equal masks and the order of a request does not matter.
    """
    identities = []
    start = 0
    for rank in stack.ranks:
        units = [_unit_digest(stack.A[row], stack.B[:, row]) for row in range(start, start + rank)]
        identities.append(hashlib.sha256(b"".join(sorted(units))).hexdigest())
        start += rank
    return identities


def _unit_digest(a: Tensor, b: Tensor) -> bytes:
    """The same for (a, b) and (−a, −b)."""
    digest = hashlib.sha256(a.abs().cpu().numpy().tobytes())
    digest.update(b.abs().contiguous().cpu().numpy().tobytes())
    return digest.digest()


class Uniforms:
    """Random numbers from [0, 1), a stream per adapter, handed out block of rows by block of rows.

    Blocks are consecutive pieces of the same stream, so the size of the blocks changes nothing.
    """

    def __init__(self, seed: int, name: str, identities: Sequence[str], cols: int) -> None:
        self._streams: list[np.random.Generator] = [
            module_generator(seed, f"{name}\0{identity}") for identity in identities
        ]
        self._cols = cols

    def take(self, rows: int, device: torch.device) -> Tensor:
        """The next ``rows`` rows of all adapters, (K, rows, cols) float32."""
        drawn = [stream.random((rows, self._cols), dtype=np.float32) for stream in self._streams]
        return torch.from_numpy(np.stack(drawn)).to(device)
