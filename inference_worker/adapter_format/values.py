"""The numbers of an adapter, each read once and in blocks: finite or not, norms, effective ranks, signature.

Memory does not grow with the file: of a module stay two r×r triangles and the signs of its probes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from inference_worker.adapter_format.faults import error
from inference_worker.adapter_format.header import Header, TensorEntry
from inference_worker.adapter_format.layout import Layout, ModuleInfo
from inference_worker.adapter_format.signature import HalfProbe, SignatureBuilder, join
from inference_worker.adapter_format.statistics import TallCore, measure_cores
from inference_worker.adapter_format.stream import BLOCK_ELEMENTS, TensorFile
from inference_worker.contracts.check_limits import Limits
from inference_worker.contracts.common import Problem
from inference_worker.contracts.inspect import ModuleStats


class ValueReader:
    """Reads all tensors of one file. What it finds is in ``problems``, ``modules`` and ``signature``."""

    def __init__(self, path: Path, limits: Limits, elements: int = BLOCK_ELEMENTS) -> None:
        self.problems: list[Problem] = []
        self.modules: list[ModuleStats] = []
        self.signature: tuple[float, ...] = ()
        self._path = path
        self._limits = limits
        self._elements = elements

    def read(self, header: Header, layout: Layout) -> None:
        builder = SignatureBuilder()
        with TensorFile(self._path) as file:
            read = set()
            for info in layout.modules.values():
                read |= {info.a.name, info.b.name}
                self._measure(info, file, builder)
            for entry in header.tensors.values():
                if entry.name not in read:
                    self._check_finite(entry, self._flat(entry, file))
        self.signature = builder.finish()

    def _measure(self, info: ModuleInfo, file: TensorFile, builder: SignatureBuilder) -> None:
        if max(info.d_in, info.d_out) > self._limits.features:
            message = f"The module has {info.d_in} inputs and {info.d_out} outputs; {self._limits.features} are read."
            self.problems.append(error("bad_shape", info.name, message))
            return
        left = _Side(info.name, "left", info.d_out)
        right = _Side(info.name, "right", info.d_in)
        good = self._check_finite(info.b, file.rows(info.b, self._elements), left)
        good &= self._check_finite(info.a, (block.T for block in file.columns(info.a, self._elements)), right)
        if not good:
            return
        found = measure_cores(right.core, left.core)
        if found.norm > 0.0 and info.scale != 0.0:
            probes = join(left.probe, right.probe)
            builder.add(info.name, probes if info.scale > 0.0 else -probes)
        silent = info.scale == 0.0
        self.modules.append(
            ModuleStats(
                name=info.name,
                kind=info.kind,
                rank=info.rank,
                d_in=info.d_in,
                d_out=info.d_out,
                norm=found.norm * abs(info.scale),
                effective_rank=0.0 if silent else found.effective_rank,
            )
        )

    def _check_finite(self, entry: TensorEntry, blocks: Iterator[Tensor], side: _Side | None = None) -> bool:
        """Whether all numbers are finite, as float32; ``side`` takes the blocks until one is not."""
        bad = 0
        for block in blocks:
            values = block.to(torch.float32) if side is None else side.core.hold(block)
            # The extremes see every NaN and infinity; only then numbers are counted one by one.
            if not all(torch.isfinite(extreme) for extreme in values.aminmax()):
                bad += int((~torch.isfinite(values)).sum())
            elif side is not None and not bad:
                side.add(values)
        if side is not None:
            side.core.settle()
        if bad:
            message = f"{bad} of {entry.count} values are not finite (NaN or infinity)."
            self.problems.append(error("nonfinite_values", entry.name, message))
        return not bad

    def _flat(self, entry: TensorEntry, file: TensorFile) -> Iterator[Tensor]:
        """Blocks of a tensor of any shape and size."""
        flat = TensorEntry(entry.name, entry.dtype, (entry.count, 1), entry.start, entry.end)
        return file.rows(flat, self._elements)


class _Side:
    """One tall factor of a module, B or Aᵀ."""

    def __init__(self, name: str, side: str, length: int) -> None:
        self.core = TallCore()
        self.probe = HalfProbe(name, side, length)

    def add(self, rows: Tensor) -> None:
        """Take rows that the core holds."""
        something = self.core.scale(rows)
        self.probe.add(rows, self.core.exponent)
        if something:
            self.core.factorise()
