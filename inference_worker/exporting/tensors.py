"""One tensor from the base's file to the export's, with its patch, in blocks of rows.

Memory is bounded by the block and the adapter's own factors, however large the tensor is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from inference_worker.adapter_format.header import TensorEntry
from inference_worker.adapter_format.reader import AdapterReader, Factors
from inference_worker.adapter_format.stream import TORCH_DTYPES, TensorFile
from inference_worker.exporting.casting import cast
from inference_worker.exporting.checkpoint import Stored
from inference_worker.exporting.patches import Patch

#: Bytes of one block in float32.
BLOCK_BYTES = 16 << 20


@dataclass(frozen=True)
class Output:
    """A tensor of the export: its name, where its bytes come from, what is changed, and in which type it is written
    (a name of safetensors)."""

    name: str
    stored: Stored
    patch: Patch
    dtype: str

    @property
    def shape(self) -> tuple[int, ...]:
        return self.stored.entry.shape

    @property
    def nbytes(self) -> int:
        entry = self.stored.entry
        if self.dtype == entry.dtype:
            return entry.nbytes
        return entry.count * TORCH_DTYPES[self.dtype].itemsize


def stream_tensor(output: Output, reader: AdapterReader) -> Iterator[bytes]:
    """The output's bytes in order. Raises ``Refused`` when a value that is not just copied does not fit the output's
    type, or is NaN or infinite."""
    entry, file = output.stored.entry, output.stored.file
    if output.patch.whole is not None:
        entry, file = output.patch.whole, reader.file
    changed = output.patch.delta is not None or output.patch.added is not None or output.patch.rows is not None
    if not changed and entry.dtype == output.dtype:
        for piece in file.pieces(entry):
            yield piece.numpy().tobytes()
        return
    dtype = TORCH_DTYPES[output.dtype]
    for block in _patched_blocks(output, entry, file, reader) if changed else _blocks(entry, file):
        yield cast(block, dtype, output.name).view(-1).view(torch.uint8).numpy().tobytes()


def _blocks(entry: TensorEntry, file: TensorFile) -> Iterator[Tensor]:
    """Blocks of rows in float32 (float64 stays as it is)."""
    for start, stop in _spans(entry.shape):
        yield _read_rows(entry, file, start, stop)


def _spans(shape: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    rows = shape[0] if shape else 1
    width = 1
    for size in shape[1:]:
        width *= size
    step = max(1, BLOCK_BYTES // (4 * max(width, 1)))
    for start in range(0, rows, step):
        yield start, min(start + step, rows)


def _read_rows(entry: TensorEntry, file: TensorFile, start: int, stop: int) -> Tensor:
    dtype = TORCH_DTYPES[entry.dtype]
    shape = (stop - start, *entry.shape[1:]) if entry.shape else ()
    rows = torch.empty(shape, dtype=dtype)
    width = rows[0].numel() * dtype.itemsize if rows.dim() and len(rows) else 0
    file.read_bytes(entry.start + start * width, rows.view(-1).view(torch.uint8), entry.name)
    return rows if dtype == torch.float64 else rows.to(torch.float32)


def _patched_blocks(output: Output, entry: TensorEntry, file: TensorFile, reader: AdapterReader) -> Iterator[Tensor]:
    patch = output.patch
    factors = reader.read(patch.delta.name) if patch.delta is not None else None
    gain = _column_gain(patch, factors, entry, file, reader)
    for start, stop in _spans(entry.shape):
        block = _read_rows(entry, file, start, stop)
        if patch.rows is not None:
            _replace_rows(block, start, stop, patch.rows, reader)
        if patch.added is not None:
            bias = reader.read_bias(patch.added.name)
            assert bias is not None
            block += bias[start:stop]
        if patch.delta is not None and factors is not None:
            block += _delta_rows(factors, patch.transposed, start, stop)
            if gain is not None:
                block *= gain
            elif patch.delta.magnitude is not None:
                block *= (_magnitude(patch, reader)[start:stop] / _norm(block.square().sum(dim=1)))[:, None]
        yield block


def _delta_rows(factors: Factors, transposed: bool, start: int, stop: int) -> Tensor:
    """Rows of Δ as the base stores it: (d_out, d_in), or (d_in, d_out) where it is transposed."""
    if transposed:
        return factors.A[:, start:stop].T @ factors.B.T
    return factors.B[start:stop] @ factors.A


def _column_gain(
    patch: Patch, factors: Factors | None, entry: TensorEntry, file: TensorFile, reader: AdapterReader
) -> Tensor | None:
    """DoRA (arXiv 2402.09353): m / ‖W + Δ‖ per output. Where outputs are columns, the norms need a pass of their own;
    None where they are rows, or without DoRA."""
    if factors is None or patch.delta is None or patch.delta.magnitude is None or not patch.transposed:
        return None
    squared = torch.zeros(patch.delta.d_out)
    for start, stop in _spans(entry.shape):
        block = _read_rows(entry, file, start, stop).to(torch.float32)
        squared += (block + _delta_rows(factors, True, start, stop)).square().sum(dim=0)
    return _magnitude(patch, reader) / _norm(squared)


def _magnitude(patch: Patch, reader: AdapterReader) -> Tensor:
    assert patch.delta is not None
    assert patch.delta.magnitude is not None
    return reader.file.read(patch.delta.magnitude).to(torch.float32).reshape(-1)


def _norm(squared: Tensor) -> Tensor:
    return squared.clamp_min(torch.finfo(squared.dtype).tiny).sqrt()


def _replace_rows(
    block: Tensor, start: int, stop: int, rows: tuple[tuple[int, ...], TensorEntry], reader: AdapterReader
) -> None:
    indices, entry = rows
    values = reader.file.read(entry).to(block.dtype)
    for position, row in enumerate(indices):
        if start <= row < stop:
            block[row - start] = values[position]
