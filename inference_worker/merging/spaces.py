"""Where an elementwise merge happens: in the updates themselves, in a small core of them, or factor by factor.

``dense``  Δ_i, as the papers mean it. Rows are made from the factors when they are needed, so that one dense matrix,
           the result, is in memory; then it is cut back to a rank.
``core``   Uᵀ·Δ_i·V, with the singular vectors U of all updates side by side and V of all updates on top of each other
           (the core of Tucker's decomposition). As small as Σr, nothing is lost on the way in, and neither the order of
           ranks nor (c·a, b/c) shows. But what an "entry" is depends on this basis: it is another method than dense.
``factor`` A and B each by themselves, as PEFT does. Needs equal ranks; depends on the gauge of the factors.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from inference_worker.contracts.merge_methods.elementwise import SpaceOptions
from inference_worker.merging.core import Basis, Core, count_nonzero, left_singular, settle, truncate
from inference_worker.merging.elementwise import Uniforms, adapter_identities
from inference_worker.merging.seeding import module_generator
from inference_worker.merging.stack import Merged, ModuleStack
from inference_worker.merging.truncation import truncate_matrix

#: Entries that a method looks at together: few enough for the processor's cache.
BLOCK = 1 << 20
#: Dense results with more entries than this are made one at a time, whatever the number of threads.
LARGE = 1 << 25
_LARGE = threading.Lock()


@dataclass(frozen=True)
class Updates:
    """K equally shaped matrices of one module, made when they are asked for."""

    part: Callable[[int, slice], Tensor]  # (adapter, rows) -> (rows, cols)
    weights: Tensor  # (K,)
    rows: int
    cols: int
    draw: Callable[[], Uniforms]  # the adapters' random numbers, from the beginning
    members: int  # adapters that are merged, those that are zero here included
    owners: tuple[int, ...]  # the adapters' indices, (K,)
    kind: str = ""  # what the matrices are: entries of one kind are trimmed together
    limits: Tensor = field(default_factory=lambda: torch.empty(0))  # see ``ModuleStack.limits``; (K,) or none
    as_peft: bool = False  # see ``elementwise.resolve_signs``

    @property
    def count(self) -> int:
        return self.weights.shape[0]

    def measure(self, function: Callable[[Tensor], Tensor]) -> Tensor:
        """``function`` of every whole matrix (rows, cols), one at a time, stacked to (K, …)."""
        return torch.stack([function(self.part(index, slice(0, self.rows))) for index in range(self.count)])

    def sizes(self, index: int) -> Iterator[Tensor]:
        """|entries| of one matrix as float32, some at a time: of the very numbers that ``blocks`` hands out, as
        products of fewer or more rows may differ in the last bit."""
        waiting: list[Tensor] = []
        for rows in self._rows():
            waiting.append(self.part(index, rows).abs().to(torch.float32).reshape(-1))
            if sum(map(len, waiting)) >= BLOCK:
                yield torch.cat(waiting)
                waiting.clear()
        if waiting:
            yield torch.cat(waiting)

    def _rows(self) -> Iterator[slice]:
        step = max(1, BLOCK // (self.count * self.cols))
        for start in range(0, self.rows, step):
            yield slice(start, min(start + step, self.rows))

    def blocks(self) -> Iterator[tuple[slice, Tensor]]:
        """Consecutive rows of all matrices: (rows, values (K, rows, cols))."""
        for rows in self._rows():
            yield rows, torch.stack([self.part(index, rows) for index in range(self.count)])

    def random_blocks(self) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """``blocks`` with random numbers from [0, 1) of the same shape, the same ones every time."""
        uniforms = self.draw()
        for rows, values in self.blocks():
            yield rows, values, uniforms.take(values.shape[1], values.device)

    def merge(self, function: Callable[[Tensor], Tensor]) -> Tensor:
        """The result (rows, cols) of a ``function`` from values (K, rows, cols) to (rows, cols)."""
        return self.collect((rows, function(values)) for rows, values in self.blocks())

    def collect(self, pieces: Iterator[tuple[slice, Tensor]]) -> Tensor:
        result = torch.empty(self.rows, self.cols, dtype=self.weights.dtype, device=self.weights.device)
        for rows, piece in pieces:
            result[rows] = piece
        return result


#: An elementwise method: the matrices and its options in, one matrix out.
Combine = Callable[[Updates], Tensor]


def merge_in_space(
    stacks: Sequence[ModuleStack], rank: int | None, options: SpaceOptions, seed: int, combine: Combine
) -> list[Merged]:
    """Merge every module by ``combine`` in the space that the options choose, times λ (``options.scaling``).

    The error is relative to the method's own result in that space (None for ``factor``, which cuts nothing).
    """
    merge = {"dense": _merge_dense, "core": _merge_core, "factor": _merge_factors}[options.space]
    return [merge(stack, rank, options.scaling, seed, combine) for stack in stacks]


def updates_in_space(stack: ModuleStack, options: SpaceOptions, seed: int) -> Sequence[Updates]:
    """The matrices that ``merge_in_space`` merges of a module: one of each adapter, or its A and its B."""
    if options.space == "dense":
        return [_dense_updates(stack, seed)]
    return [_Cores.of(stack).updates(stack, seed)] if options.space == "core" else _factor_updates(stack, seed)


def _weights(stack: ModuleStack) -> Tensor:
    """w_i of the adapters present, (K,) in the factors' type."""
    return stack.A.new_tensor(stack.weights or [1.0] * len(stack.ranks))


def _updates(
    stack: ModuleStack,
    seed: int,
    kind: str,
    part: Callable[[int, slice], Tensor],
    shape: Sequence[int],
    weights: Tensor,
) -> Updates:
    def draw() -> Uniforms:
        return Uniforms(seed, f"{stack.name}\0{kind}", adapter_identities(stack), shape[1])

    return Updates(
        part,
        weights,
        shape[0],
        shape[1],
        draw,
        members=len(stack.line_up) or len(stack.ranks),
        owners=stack.members,
        kind=kind,
        limits=stack.limits.get(kind, stack.A.new_empty(0)),
        as_peft=kind in ("A", "B"),
    )


def _dense_updates(stack: ModuleStack, seed: int) -> Updates:
    weights = _weights(stack)
    ranks = list(stack.ranks)
    alone = stack.scale / weights.double().repeat_interleave(weights.new_tensor(ranks).long())  # s_i
    lefts = stack.B.split(ranks, 1)
    rights = (stack.A * alone.to(stack.A).unsqueeze(1)).split(ranks)

    def part(index: int, rows: slice) -> Tensor:
        return lefts[index][rows] @ rights[index]

    return _updates(stack, seed, "dense", part, (stack.B.shape[0], stack.A.shape[1]), weights)


def _merge_dense(stack: ModuleStack, rank: int | None, scaling: float, seed: int, combine: Combine) -> Merged:
    updates = _dense_updates(stack, seed)
    with _room(updates.rows * updates.cols):
        result = combine(updates).mul_(scaling)
        wanted = rank or max(stack.ranks)
        a, b, error, how = truncate_matrix(result, wanted, module_generator(seed, f"{stack.name}\0truncation"))
    return Merged(a, b, error=error, detail={"space": "dense", "truncation": how})


def _room(entries: int) -> AbstractContextManager[object]:
    return _LARGE if entries > LARGE else nullcontext()


class _Cores(NamedTuple):
    """All updates of a module in coordinates of the directions that they have."""

    left: Basis
    right: Basis
    turn_left: Tensor  # (m_out, p)
    turn_right: Tensor  # (m_in, q)
    weights: Tensor  # (K,)
    lefts: list[Tensor]  # (p, r_i) of each adapter, without its weight
    rights: list[Tensor]  # (r_i, q)

    @classmethod
    def of(cls, stack: ModuleStack) -> _Cores:
        """Signs of U and V do not matter to methods that treat + and − alike; equal singular values are settled."""
        core = Core.of(stack)
        turn_left = _directions(core.left, core.weighted(), core.rights, stack)
        turn_right = _directions(core.right, core.rights, core.weighted(), stack)
        lefts, rights = [turn_left.T @ part for part in core.lefts], [part.T @ turn_right for part in core.rights]
        return cls(core.left, core.right, turn_left, turn_right, core.weights, lefts, rights)

    def updates(self, stack: ModuleStack, seed: int) -> Updates:
        def part(index: int, rows: slice) -> Tensor:
            return self.lefts[index][rows] @ self.rights[index]

        shape = (self.turn_left.shape[1], self.turn_right.shape[1])
        return _updates(stack, seed, "core", part, shape, self.weights)


def _merge_core(stack: ModuleStack, rank: int | None, scaling: float, seed: int, combine: Combine) -> Merged:
    cores = _Cores.of(stack)
    result = combine(cores.updates(stack, seed)) * scaling
    merged = truncate(stack, cores.left, cores.right, cores.turn_left @ result @ cores.turn_right.T, rank)
    merged.detail["space"] = "core"
    return merged


def _directions(basis: Basis, lefts: Sequence[Tensor], rights: Sequence[Tensor], stack: ModuleStack) -> Tensor:
    """The left singular vectors of all cores lefts[i]·rights[i]ᵀ side by side that are not rounding, at least one."""
    u, sigma = left_singular(lefts, rights)
    some = max(1, count_nonzero(sigma))
    return settle(basis, u[:, :some], sigma[:some], stack)


def _factor_updates(stack: ModuleStack, seed: int) -> list[Updates]:
    """All A and all B, as they are stored."""
    ranks = list(stack.ranks)
    first = torch.tensor(ranks, device=stack.scale.device).cumsum(0) - 1
    scale = stack.scale[first]  # w_i · s_i, (K,)
    root = scale.abs().sqrt()
    found = []
    for kind, pieces, weights in (
        ("A", stack.A.split(ranks), root * scale.sign()),
        ("B", stack.B.split(ranks, 1), root),
    ):

        def part(index: int, rows: slice, pieces: Sequence[Tensor] = pieces) -> Tensor:
            return pieces[index][rows]

        found.append(_updates(stack, seed, kind, part, pieces[0].shape, weights.to(stack.A)))
    return found


def _merge_factors(stack: ModuleStack, rank: int | None, scaling: float, seed: int, combine: Combine) -> Merged:
    """The factors' rank is the result's; whoever asked for less cuts it afterwards."""
    a, b = (combine(updates) * scaling**0.5 for updates in _factor_updates(stack, seed))
    return Merged(a, b, detail={"space": "factor"})
