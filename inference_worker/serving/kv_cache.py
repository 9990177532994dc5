"""Keys and values of the running rows, right-aligned: shorter rows have unused columns on the left.

Transformers' own dynamic layer copies the whole cache at every token; this one writes in place and grows by half, and
rows can leave, join and be trimmed.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

GROWTH_STEP = 64


class GrowingLayer(DynamicLayer):
    """One layer: ``keys`` and ``values`` are views (rows, heads, length, head_dim) of larger buffers."""

    keys: Tensor
    values: Tensor

    def __init__(self) -> None:
        super().__init__()
        self._key_buffer: Tensor | None = None  # (row capacity, heads, column capacity, head_dim)
        self._value_buffer: Tensor | None = None
        self._start = 0
        self._end = 0
        self.rows = 0

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Append (rows, heads, t, head_dim) and return everything that is held."""
        tokens = int(key_states.shape[-2])
        if self._key_buffer is None:
            self.dtype, self.device = key_states.dtype, key_states.device
            self.is_initialized = True
            self.rows = int(key_states.shape[0])
            self._key_buffer = _buffer_like(key_states, self.rows, tokens)
            self._value_buffer = _buffer_like(value_states, self.rows, tokens)
        elif self._end + tokens > self._key_buffer.shape[2]:
            self._reallocate(self.rows, self._end - self._start, tokens)
        assert self._value_buffer is not None
        self._key_buffer[: self.rows, :, self._end : self._end + tokens].copy_(key_states)
        self._value_buffer[: self.rows, :, self._end : self._end + tokens].copy_(value_states)
        self._end += tokens
        self._refresh_views()
        return self.keys, self.values

    def join(self, other: GrowingLayer) -> None:
        """Append the rows of ``other``, right-aligned with this layer's."""
        assert self._key_buffer is not None
        assert self._value_buffer is not None
        own_rows, length, joining = self.rows, self._end - self._start, int(other.keys.shape[-2])
        self._reallocate(own_rows + other.rows, max(length, joining), GROWTH_STEP, keep=length)
        rows = slice(own_rows, own_rows + other.rows)
        self._key_buffer[rows, :, self._end - joining : self._end].copy_(other.keys)
        self._value_buffer[rows, :, self._end - joining : self._end].copy_(other.values)
        self.rows = own_rows + other.rows
        self._refresh_views()

    def remove(self, row: int) -> None:
        """Free ``row`` by moving the last row into its place."""
        last = self.rows - 1
        if row != last:
            self.keys[row].copy_(self.keys[last])
            self.values[row].copy_(self.values[last])
        self.rows = last
        self._refresh_views()

    def trim(self, length: int) -> None:
        """Forget the columns on the left that no row uses any more; ``length`` columns stay."""
        self._start = self._end - length
        self._refresh_views()

    def get_seq_length(self) -> int:
        """Columns held, those of padding included."""
        return self._end - self._start

    def _reallocate(self, rows: int, length: int, room: int, keep: int | None = None) -> None:
        """New buffers of ``rows`` × (``length`` + at least ``room``); the last ``keep`` columns held move over."""
        kept = self._end - self._start if keep is None else keep
        own = self.rows
        keys, values = self.keys, self.values
        self._key_buffer = _buffer_like(keys, rows, length + max(room, length // 2))
        self._value_buffer = _buffer_like(values, rows, length + max(room, length // 2))
        self._key_buffer[:own, :, length - kept : length].copy_(keys)
        self._value_buffer[:own, :, length - kept : length].copy_(values)
        self._start, self._end = 0, length

    def _refresh_views(self) -> None:
        assert self._key_buffer is not None
        assert self._value_buffer is not None
        self.keys = self._key_buffer[: self.rows, :, self._start : self._end]
        self.values = self._value_buffer[: self.rows, :, self._start : self._end]


def _buffer_like(states: Tensor, rows: int, columns: int) -> Tensor:
    """Zeros, not uninitialised memory: attention multiplies unused columns by weight 0, and 0 × NaN is NaN."""
    capacity = -(-(columns + 1) // GROWTH_STEP) * GROWTH_STEP
    return torch.zeros(rows, states.shape[1], capacity, states.shape[3], device=states.device, dtype=states.dtype)


class RowCache(Cache):
    """The cache of a batch: one growing layer per attention layer."""

    def __init__(self) -> None:
        super().__init__(layer_class_to_replicate=GrowingLayer)

    def _growing(self) -> list[GrowingLayer]:
        return [layer for layer in self.layers if isinstance(layer, GrowingLayer) and layer.is_initialized]

    def join(self, other: RowCache) -> None:
        """Append the rows of ``other``; an empty cache takes its layers over."""
        if not self._growing() or self._growing()[0].rows == 0:
            self.layers = other.layers
            return
        for own, joining in zip(self._growing(), other._growing(), strict=True):
            own.join(joining)

    def remove(self, row: int) -> None:
        """Free ``row`` in every layer; the last row takes its number."""
        for layer in self._growing():
            layer.remove(row)

    def trim(self, length: int) -> None:
        """Keep the last ``length`` columns of every layer."""
        for layer in self._growing():
            if layer.get_seq_length() > length:
                layer.trim(length)
