"""Positional reads of tensors into buffers that are used again.

No memory map: pages of a map count as resident memory, and a truncated file under a map ends the process with SIGBUS.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import torch
from torch import Tensor

from inference_worker.adapter_format.header import TensorEntry
from inference_worker.adapter_format.names import WEIGHTS_NAME
from inference_worker.errors import BadInput

TORCH_DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}

#: Bytes of a large tensor that are copied or compared in one go.
PIECE_BYTES = 8 << 20

#: Numbers of a large tensor that are computed with in one go.
BLOCK_ELEMENTS = 1 << 20


def _block_length(rank: int, elements: int) -> int:
    """How many rows of ``rank`` numbers make a block. Where ranks are large, blocks are larger, up to twice, so
    that factorising them together with an r×r triangle costs not much more than without."""
    return max(1, elements // rank, min(4 * rank, 2 * elements // rank))


class TensorFile:
    """An open weights file. Reads are thread-safe as long as every thread brings its own buffer."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> TensorFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def read_into(self, entry: TensorEntry, target: Tensor) -> None:
        """Fill ``target`` (contiguous, of the entry's dtype and as many elements) with the tensor's bytes."""
        self.read_bytes(entry.start, target.view(-1).view(torch.uint8), entry.name)

    def read(self, entry: TensorEntry) -> Tensor:
        """The tensor in its stored type, in memory of its own."""
        result = torch.empty(entry.shape, dtype=TORCH_DTYPES[entry.dtype])
        self.read_into(entry, result)
        return result

    def rows(self, entry: TensorEntry, elements: int = BLOCK_ELEMENTS) -> Iterator[Tensor]:
        """The rows of a tensor (n, r) in blocks of about ``elements`` numbers, each in memory of its own."""
        count, width = entry.shape
        step = _block_length(width, elements)
        item = entry.nbytes // entry.count
        for first in range(0, count, step):
            block = torch.empty((min(step, count - first), width), dtype=TORCH_DTYPES[entry.dtype])
            self.read_bytes(entry.start + first * width * item, block.view(-1).view(torch.uint8), entry.name)
            yield block

    def columns(self, entry: TensorEntry, elements: int = BLOCK_ELEMENTS) -> Iterator[Tensor]:
        """The columns of a tensor (r, n) in blocks (r, k) of about ``elements`` numbers, one read per row of each."""
        count, width = entry.shape
        step = _block_length(count, elements)
        if step >= width:
            yield self.read(entry)
            return
        item = entry.nbytes // entry.count
        for first in range(0, width, step):
            block = torch.empty((count, min(step, width - first)), dtype=TORCH_DTYPES[entry.dtype])
            raw = block.view(torch.uint8)
            for row in range(count):
                self.read_bytes(entry.start + (row * width + first) * item, raw[row], entry.name)
            yield block

    def pieces(self, entry: TensorEntry) -> Iterator[Tensor]:
        """The tensor's bytes in order, as views (uint8) of one buffer that the next piece overwrites."""
        buffer = torch.empty(min(entry.nbytes, PIECE_BYTES), dtype=torch.uint8)
        for start in range(entry.start, entry.end, PIECE_BYTES):
            piece = buffer[: min(PIECE_BYTES, entry.end - start)]
            self.read_bytes(start, piece, entry.name)
            yield piece

    def read_bytes(self, offset: int, target: Tensor, what: str) -> None:
        """Fill ``target`` (uint8, one dimension) from ``offset`` on. Raises ``BadInput`` if the file ends before."""
        view = memoryview(target.numpy().data)
        done = 0
        while done < len(view):
            count = os.preadv(self._descriptor, [view[done:]], offset + done)
            if count == 0:
                raise BadInput(f"{WEIGHTS_NAME} ended in the middle of {what}", code="truncated")
            done += count
