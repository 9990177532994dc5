"""Compare adapters pair by pair, one module of all of them in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations

import torch

from inference_worker.adapter_format.layout import ModuleInfo, natural_order
from inference_worker.adapter_format.reader import AdapterReader
from inference_worker.composability.measures import compare_units
from inference_worker.composability.sums import PairSum
from inference_worker.composability.units import Units, units_of
from inference_worker.contracts.composability import PairMeasures
from inference_worker.errors import BadInput

Progress = Callable[[float, str], None]


def _silent(fraction: float, message: str) -> None:
    """Progress that nobody watches."""


def compare_adapters(
    readers: Sequence[AdapterReader],
    pairs: Sequence[tuple[int, int]] | None = None,
    *,
    progress: Progress = _silent,
) -> list[PairMeasures]:
    """The measures of ``pairs`` (positions in ``readers``; every pair unless told), in their order.

    Every module is read once, whatever the number of pairs. What a pair's measures are does not depend on the other
    adapters. Raises ``BadInput`` naming the adapter for values that are not finite.
    """
    wanted = list(combinations(range(len(readers)), 2)) if pairs is None else list(pairs)
    sums = {pair: PairSum() for pair in wanted}
    needed = sorted({index for pair in wanted for index in pair})
    names = sorted({name for index in needed for name in readers[index].modules}, key=natural_order)
    for done, name in enumerate(names, start=1):
        units = {index: _read(readers[index], name) for index in needed if name in readers[index].modules}
        for (first, second), total in sums.items():
            _add(total, name, readers, units, first, second)
        progress(done / len(names), f"{done} of {len(names)} modules")
    return [sums[pair].finish() for pair in wanted]


def _add(
    total: PairSum, name: str, readers: Sequence[AdapterReader], units: dict[int, Units], first: int, second: int
) -> None:
    one, two = units.get(first), units.get(second)
    if one is None and two is None:
        return
    if one is None or two is None:
        total.add_single(name, 0 if two is None else 1, (one or two).norm)  # type: ignore[union-attr]
    elif _shape(readers[first].modules[name]) != _shape(readers[second].modules[name]):
        total.add_clash()
    else:
        total.add_both(name, one.norm, two.norm, compare_units(one, two))


def _shape(info: ModuleInfo) -> tuple[int, int, str]:
    return info.d_out, info.d_in, info.kind


def _read(reader: AdapterReader, name: str) -> Units:
    factors = reader.read(name)
    if not all(bool(torch.isfinite(factor).all()) for factor in factors):
        message = f"{reader.label}: {name} holds values that are not finite (NaN or infinity)"
        raise BadInput(message, code="nonfinite_values", extra={"adapter": reader.label, "module": name})
    return units_of(name, factors.A, factors.B)
