"""The norm of every adapted module as a grid: kinds of module by layer."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

_LAYER = re.compile(r"^(?:.*\.)?(?:layers|layer|h|blocks|block)\.(\d+)\.(.+)$")
CELL = 18
GAP = 2
LABEL_WIDTH = 84
HEAD = 16
#: Mixtures of experts have thousands of modules; the largest rows are shown.
MAX_ROWS = 40


@dataclass(frozen=True)
class Cell:
    """``strength`` is the norm over the largest norm, 0–1; positions are SVG units."""

    x: int
    y: int
    strength: float
    title: str


@dataclass(frozen=True)
class HeatMap:
    width: int
    height: int
    cells: list[Cell] = field(default_factory=list)
    rows: list[tuple[int, str]] = field(default_factory=list)
    columns: list[tuple[int, str]] = field(default_factory=list)
    largest: float = 0.0
    left_out: int = 0


def heat_map(modules: Iterable[Mapping[str, Any]]) -> HeatMap | None:
    """Grid of ``contracts.inspect.ModuleStats`` dicts; None when there is nothing to draw."""
    placed = [(*_place(str(module["name"])), module) for module in modules]
    if not placed:
        return None
    kinds = list(dict.fromkeys(kind for kind, _, _ in placed))
    shown = kinds[:MAX_ROWS]
    layers = sorted({layer for _, layer, _ in placed})
    largest = max(float(module["norm"]) for _, _, module in placed)
    step = CELL + GAP
    cells = [
        Cell(
            x=LABEL_WIDTH + layers.index(layer) * step,
            y=HEAD + shown.index(kind) * step,
            strength=round(float(module["norm"]) / largest, 3) if largest else 0.0,
            title=_title(module),
        )
        for kind, layer, module in placed
        if kind in shown
    ]
    every = max(1, -(-len(layers) // 16))
    return HeatMap(
        width=LABEL_WIDTH + len(layers) * step,
        height=HEAD + len(shown) * step,
        cells=cells,
        rows=[(HEAD + i * step + 13, _short(kind)) for i, kind in enumerate(shown)],
        columns=[
            (LABEL_WIDTH + i * step + CELL // 2, str(layer) if layer >= 0 else "")
            for i, layer in enumerate(layers)
            if i % every == 0
        ],
        largest=largest,
        left_out=len(kinds) - len(shown),
    )


def _place(name: str) -> tuple[str, int]:
    """(kind, layer) of a module's dotted name; layer −1 for what lies outside the layers."""
    match = _LAYER.match(name)
    return (match.group(2), int(match.group(1))) if match else (name, -1)


def _short(kind: str) -> str:
    last = kind.rpartition(".")[2]
    return last if len(last) <= 12 else f"{last[:11]}…"


def _title(module: Mapping[str, Any]) -> str:
    return (
        f"{module['name']}: norm {float(module['norm']):.3g}, rank {module['rank']}, "
        f"effective rank {float(module['effective_rank']):.1f}"
    )
