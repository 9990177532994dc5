"""Keep the largest entries of each adapter: of every module by itself, or of all its modules together.

The latter is TIES as published (Yadav et al., NeurIPS 2023, arXiv 2306.01708, section 4), and needs to know the limit
before the first module is merged: the size of the smallest entry that stays. It is found in two passes over all
modules. A float32 that is not negative is ordered as its bits are, so the first pass counts the upper 16 bits of every
size, and the second the lower 15 of those sizes that share their upper ones with the limit. The limit is exact, and the
counts take 768 KiB per adapter, however large the adapters are.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from inference_worker.merging.elementwise import kept_count, smallest_kept
from inference_worker.merging.spaces import Updates
from inference_worker.merging.stack import ModuleStack

#: Bits of a size that the first pass counts, and those that are left for the second.
UPPER, LOWER = 16, 15

#: An adapter's index and the kind of its matrices, which are trimmed together.
Key = tuple[int, str]
Visit = Callable[[Updates], None]
#: Shows the matrices of all modules to a function, in any order and in several threads if it likes.
Show = Callable[[Visit], None]


class TrimOptions(Protocol):
    """What every method that trims has."""

    @property
    def trim(self) -> str: ...

    @property
    def density(self) -> float: ...


class _Place(NamedTuple):
    """The bucket of a count in which an entry lies, and its rank from the largest there, from 1 on."""

    bucket: int
    rank: int


def needs_limits(options: TrimOptions) -> bool:
    """Whether whole adapters are looked at before the first module is merged."""
    return options.trim == "model" and options.density < 1.0


def find_limits(show: Show, density: float) -> dict[Key, float]:
    """The size of the smallest of the ``density`` largest entries of every adapter over all its modules."""
    whole = _count(show, 1 << UPPER, lambda key, bits: bits >> LOWER)
    places = {key: _place(counts, kept_count(int(counts.sum()), density)) for key, counts in whole.items()}
    inside = (1 << LOWER) - 1
    parts = _count(show, 1 << LOWER, lambda key, bits: bits[(bits >> LOWER) == places[key].bucket] & inside)
    found = {}
    for key, place in places.items():
        bits = (place.bucket << LOWER) | _place(parts[key], place.rank).bucket
        found[key] = float(torch.tensor(bits, dtype=torch.int32, device="cpu").view(torch.float32))
    return found


def _count(show: Show, buckets: int, bucket_of: Callable[[Key, Tensor], Tensor]) -> dict[Key, Tensor]:
    """How many sizes of every adapter fall into each bucket. Sums of whole numbers do not depend on their order."""
    found: dict[Key, Tensor] = defaultdict(lambda: torch.zeros(buckets, dtype=torch.int64, device="cpu"))
    lock = threading.Lock()

    def visit(updates: Updates) -> None:
        for index, owner in enumerate(updates.owners):
            key = owner, updates.kind
            for sizes in updates.sizes(index):
                counts = torch.bincount(bucket_of(key, sizes.view(torch.int32)), minlength=buckets).cpu()
                with lock:
                    found[key] += counts

    show(visit)
    return found


def _place(counts: Tensor, rank: int) -> _Place:
    """Where the entry lies that is at ``rank`` from the largest."""
    above = counts.flip(0).cumsum(0)  # from the largest on
    place = int(torch.searchsorted(above, rank))
    before = int(above[place - 1]) if place else 0
    return _Place(len(counts) - 1 - place, rank - before)


def with_limits(stack: ModuleStack, limits: Mapping[Key, float]) -> ModuleStack:
    """The stack with what its adapters keep of each kind of matrix, in the type that sizes were counted in."""
    kept = {kind: [limits.get((owner, kind), 0.0) for owner in stack.members] for _, kind in limits}
    place = stack.A.device
    return replace(
        stack,
        limits={kind: torch.tensor(own, dtype=torch.float32, device=place) for kind, own in kept.items()},
    )


def limited(
    stacks: Sequence[ModuleStack], options: TrimOptions, matrices: Callable[[ModuleStack], Sequence[Updates]]
) -> Sequence[ModuleStack]:
    """The stacks with their limits, if the options ask for any. Of stacks that come without, these are all there is."""
    if not needs_limits(options) or all(stack.limits for stack in stacks):
        return stacks

    def show(visit: Visit) -> None:
        for stack in stacks:
            for updates in matrices(stack):
                visit(updates)

    found = find_limits(show, options.density)
    return [with_limits(stack, found) for stack in stacks]


def trim_limits(updates: Updates, options: TrimOptions) -> Tensor:
    """The size of the smallest entry that each adapter keeps of this module, (K,)."""
    if needs_limits(options):
        return updates.limits
    return updates.measure(lambda matrix: smallest_kept(matrix, options.density))
