"""Read groups of modules into buffers that are used again."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from inference_worker.adapter_format.finite import is_finite, nonfinite_values
from inference_worker.adapter_format.header import TensorEntry
from inference_worker.adapter_format.layout import ModuleInfo
from inference_worker.adapter_format.stream import TORCH_DTYPES, TensorFile
from inference_worker.merging.compatibility import Member
from inference_worker.merging.stack import ModuleStack

#: Bytes of float32 factors that one group may hold; a single module may be larger. A group of one transformer layer
#: stays in the processor's cache and still gives k-means several modules to work on at once.
GROUP_BYTES = 48 << 20

_malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)


class Arena:
    """One buffer of float32 that grows to the largest group and is handed out again for every group.

    Fresh memory for every module would cost a page fault per 4 KiB, which for large adapters is as slow as reading.
    """

    def __init__(self) -> None:
        self._buffer = torch.empty(0)
        self._staging = torch.empty(0, dtype=torch.uint8)
        self._used = 0

    def reset(self, elements: int) -> None:
        """Hand everything back and make room for ``elements`` numbers."""
        self._used = 0
        if self._buffer.numel() < elements:
            self._buffer = torch.empty(0)  # The old one goes before the new one comes.
            self._buffer = torch.empty(elements)

    def take(self, rows: int, columns: int) -> Tensor:
        start, self._used = self._used, self._used + rows * columns
        return self._buffer[start : self._used].view(rows, columns)

    def read(self, file: TensorFile, entry: TensorEntry, target: Tensor) -> None:
        """Read a tensor and convert it into ``target`` (float32, any strides, the entry's shape)."""
        if self._staging.numel() < entry.nbytes:
            self._staging = torch.empty(entry.nbytes, dtype=torch.uint8)
        staging = self._staging[: entry.nbytes]
        file.read_bytes(entry.start, staging, entry.name)
        target.copy_(staging.view(TORCH_DTYPES[entry.dtype]).view(entry.shape))


def give_back_memory() -> None:
    """Hand what is free between other allocations back to the system, where the C library can (glibc).

    It keeps what threads freed for later allocations, which rarely fit: over many groups that adds up to more than all
    that is in use.
    """
    if _malloc_trim is not None:
        _malloc_trim(0)


def plan_groups(members: Sequence[Member], names: Sequence[str]) -> list[list[str]]:
    """Cut ``names`` into consecutive groups of at most ``GROUP_BYTES``, the same on every machine."""
    groups: list[list[str]] = [[]]
    used = 0
    for name in names:
        size = 4 * sum(info.parameters for _, info in present(members, name))
        if groups[-1] and used + size > GROUP_BYTES:
            groups.append([])
            used = 0
        groups[-1].append(name)
        used += size
    return groups


def present(members: Sequence[Member], name: str) -> Iterator[tuple[Member, ModuleInfo]]:
    """The members that take part in a module."""
    for member in members:
        if name in member.weights:
            yield member, member.reader.modules[name]


def load_group(members: Sequence[Member], names: Sequence[str], arena: Arena) -> list[ModuleStack]:
    """The stacks of ``names``; their tensors are valid until the arena's next ``reset``.

    Raises ``BadInput`` naming the adapter for values that are not finite.
    """
    arena.reset(sum(info.parameters for name in names for _, info in present(members, name)))
    return [_load_module(members, name, arena) for name in names]


def _load_module(members: Sequence[Member], name: str, arena: Arena) -> ModuleStack:
    parts = list(present(members, name))
    info = parts[0][1]
    total = sum(part.rank for _, part in parts)
    a, b = arena.take(total, info.d_in), arena.take(info.d_out, total)
    row = 0
    for member, part in parts:
        arena.read(member.reader.file, part.a, a[row : row + part.rank])
        arena.read(member.reader.file, part.b, b[:, row : row + part.rank])
        row += part.rank
    if not bool(torch.isfinite(a.sum() + b.sum())):
        _report_nonfinite(parts, name)
    ranks = torch.tensor([part.rank for _, part in parts])
    scales = torch.tensor([member.weights[name] * part.scale for member, part in parts], dtype=torch.float64)
    owners = torch.tensor([member.index for member, _ in parts])
    return ModuleStack(
        name=name,
        A=a,
        B=b,
        scale=scales.repeat_interleave(ranks),
        owner=owners.repeat_interleave(ranks),
        ranks=tuple(ranks.tolist()),
        weights=tuple(member.weights[name] for member, _ in parts),
        line_up=tuple((member.index, member.weights.get(name, member.weight)) for member in members),
    )


def _report_nonfinite(parts: Sequence[tuple[Member, ModuleInfo]], name: str) -> None:
    for member, part in parts:
        for entry in (part.a, part.b):
            # As float32, which a float64 may be too large for.
            if not is_finite(member.reader.file.read(entry).to(torch.float32)):
                raise nonfinite_values(member.label, name)


def read_vector(member: Member, entry: TensorEntry) -> Tensor:
    """A tensor that goes with a module's factors, in float32. Raises ``BadInput`` for values that are not finite."""
    values = member.reader.file.read(entry).to(torch.float32)
    if not is_finite(values):
        raise nonfinite_values(member.label, entry.name)
    return values
