"""Preallocated row slots of a running batch: admission writes only its own row, leaving copies only one row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from inference_worker.mixing.composition import Composition, HasModules, combined_gain, write_stacked
from inference_worker.serving.multi_adapter_linear import MultiAdapterLinear, RowFactors, rank_bucket


@dataclass
class ModuleSlots:
    """Slots of one module for ``capacity`` rows; unused ranks and unadapted rows are zero."""

    At: Tensor  # (capacity, d_in, R)
    Bt: Tensor  # (capacity, R, d_out)
    gain: Tensor | None = None  # (capacity, 1, d_out)

    @property
    def capacity(self) -> int:
        return int(self.At.shape[0])

    @property
    def rank(self) -> int:
        return int(self.At.shape[2])


class SlotTable:
    """The slots of every module that some row of the batch adapts. Rows 0 … ``rows`` − 1 are in use, without gaps."""

    def __init__(self, layers: Mapping[str, MultiAdapterLinear], device: torch.device, dtype: torch.dtype) -> None:
        self._layers = layers
        self._device = device
        self._dtype = dtype
        self._slots: dict[str, ModuleSlots] = {}
        self.rows = 0

    def admit(self, composition: Composition[HasModules]) -> int:
        """Give ``composition`` the next row and return its number."""
        row = self.rows
        names = composition.module_names()
        for name in names | self._slots.keys():
            if name not in names:
                self._ensure(name, row + 1, 0)
                self._clear(name, row)
                continue
            parts = composition.parts(name)
            slots = self._ensure(name, row + 1, composition.rank(name))
            write_stacked(parts, slots.At[row].T, slots.Bt[row].T)
            self._set_gain(slots, row, combined_gain(parts))
        self.rows += 1
        return row

    def remove(self, row: int) -> None:
        """Free ``row`` by moving the last row into its place."""
        last = self.rows - 1
        if row != last:
            for slots in self._slots.values():
                slots.At[row].copy_(slots.At[last])
                slots.Bt[row].copy_(slots.Bt[last])
                if slots.gain is not None:
                    slots.gain[row].copy_(slots.gain[last])
        self.rows = last
        if last == 0:
            self._slots.clear()  # An idle engine holds no slots.

    def activate(self, start: int, end: int) -> None:
        """Make the layers compute rows ``start`` … ``end`` − 1; the caller deactivates when the pass is over."""
        for name, layer in self._layers.items():
            slots = self._slots.get(name)
            if slots is None:
                layer.active.rows = None
                continue
            gain = None if slots.gain is None else slots.gain[start:end]
            layer.active.rows = RowFactors(slots.At[start:end], slots.Bt[start:end], gain)

    def deactivate(self) -> None:
        """Leave every layer computing the bare base."""
        for layer in self._layers.values():
            layer.active.rows = None

    def _ensure(self, name: str, rows: int, rank: int) -> ModuleSlots:
        """Slots with room for ``rows`` rows of ``rank``, grown by doubling where needed."""
        slots = self._slots.get(name)
        if slots is not None and slots.capacity >= rows and slots.rank >= rank:
            return slots
        layer = self._layers[name]
        capacity = max(rows, 1)
        wanted = rank_bucket(rank)
        if slots is not None:
            capacity = max(slots.capacity, 2 * slots.capacity if rows > slots.capacity else 0)
            wanted = max(wanted, slots.rank)
        else:
            capacity = 1 << (capacity - 1).bit_length()
        grown = ModuleSlots(
            torch.zeros(capacity, layer.d_in, wanted, device=self._device, dtype=self._dtype),
            torch.zeros(capacity, wanted, layer.d_out, device=self._device, dtype=self._dtype),
        )
        if slots is not None:
            grown.At[: slots.capacity, :, : slots.rank].copy_(slots.At)
            grown.Bt[: slots.capacity, : slots.rank].copy_(slots.Bt)
            if slots.gain is not None:
                grown.gain = torch.ones(capacity, 1, layer.d_out, device=self._device, dtype=self._dtype)
                grown.gain[: slots.capacity].copy_(slots.gain)
        self._slots[name] = grown
        return grown

    def _clear(self, name: str, row: int) -> None:
        slots = self._slots[name]
        slots.At[row].zero_()
        slots.Bt[row].zero_()
        if slots.gain is not None:
            slots.gain[row].fill_(1.0)

    def _set_gain(self, slots: ModuleSlots, row: int, gain: Tensor | None) -> None:
        if gain is not None and slots.gain is None:
            slots.gain = torch.ones(slots.capacity, 1, slots.Bt.shape[2], device=self._device, dtype=self._dtype)
        if slots.gain is not None:
            if gain is None:
                slots.gain[row].fill_(1.0)
            else:
                slots.gain[row, 0].copy_(gain)
