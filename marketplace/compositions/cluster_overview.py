"""LoRA-LEGO's clusters over all modules: who shares bricks with whom, and where in the model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inference_worker.contracts.clusters import describe_bricks, summarise_clusters
from inference_worker.contracts.module_selectors import layer_of

CELL, GAP, LABEL, HEAD = 22, 3, 96, 18
#: Mixtures of experts have thousands of modules; so many kinds of them are drawn.
MAX_ROWS = 40


@dataclass(frozen=True)
class ModuleClusters:
    """One module in numbers. ``mixing`` is 1 − purity: the share of units that lie in a brick of mostly others."""

    name: str
    kind: str
    layer: int
    bricks: int
    mixed: int
    isolated: int
    purity: float
    inertia: float

    @property
    def mixing(self) -> float:
        return 1.0 - self.purity


@dataclass(frozen=True)
class Sharing:
    """One adapter's row: the share of its units in a brick with each adapter, and of those that stand alone."""

    label: str
    colour: str
    units: int
    shared: list[float]
    alone: float


@dataclass(frozen=True)
class Cell:
    x: int
    y: int
    strength: float
    module: ModuleClusters
    chosen: bool


@dataclass(frozen=True)
class Overview:
    """``rows`` and ``columns`` are labels with their places in the grid, in SVG units."""

    modules: list[ModuleClusters]
    sharing: list[Sharing]
    summary: dict[str, Any]
    cells: list[Cell]
    rows: list[tuple[int, str]]
    columns: list[tuple[int, str]]
    width: int
    height: int


def module_clusters(details: Mapping[str, Mapping[str, Any]]) -> list[ModuleClusters]:
    """Every module's numbers, in the report's order."""
    found = []
    for name, detail in details.items():
        bricks = describe_bricks(detail["adapter"], detail["cluster"])
        sizes: dict[int, int] = {}
        for cluster in detail["cluster"]:
            sizes[cluster] = sizes.get(cluster, 0) + 1
        weighted = zip(bricks["purity"], (sizes[cluster] for cluster in sorted(sizes)), strict=True)
        purity = sum(share * count for share, count in weighted) / len(detail["cluster"])
        layer = layer_of(name)
        inertia = detail.get("inertia")
        found.append(
            ModuleClusters(
                name=name,
                kind=name.rpartition(".")[2],
                layer=-1 if layer is None else layer,
                bricks=len(sizes),
                mixed=sum(share < 1.0 for share in bricks["purity"]),
                isolated=len(bricks["isolated"]),
                purity=purity,
                inertia=float(inertia) if isinstance(inertia, int | float) else 0.0,
            )
        )
    return found


def overview_of(
    details: Mapping[str, Mapping[str, Any]], labels: Sequence[str], colours: Sequence[str], chosen: str
) -> Overview:
    """The grid of modules by layer, and the table of who shares with whom. ``chosen`` is the module shown below it."""
    modules = module_clusters(details)
    summary = summarise_clusters(_plain(details.values()), len(labels))
    kinds = list(dict.fromkeys(module.kind for module in modules))[:MAX_ROWS]
    layers = sorted({module.layer for module in modules})
    step = CELL + GAP
    most = max(module.mixing for module in modules) or 1.0
    cells = [
        Cell(
            x=LABEL + layers.index(module.layer) * step,
            y=HEAD + kinds.index(module.kind) * step,
            strength=round(module.mixing / most, 3),
            module=module,
            chosen=module.name == chosen,
        )
        for module in modules
        if module.kind in kinds
    ]
    every = max(1, -(-len(layers) // 16))
    return Overview(
        modules=modules,
        sharing=[
            Sharing(label, colour, summary["units"][i], summary["shared"][i], summary["alone"][i])
            for i, (label, colour) in enumerate(zip(labels, colours, strict=True))
        ],
        summary=summary,
        cells=cells,
        rows=[(HEAD + i * step + 15, kind if len(kind) <= 13 else f"{kind[:12]}…") for i, kind in enumerate(kinds)],
        columns=[
            (LABEL + i * step + CELL // 2, str(layer) if layer >= 0 else "")
            for i, layer in enumerate(layers)
            if i % every == 0
        ],
        width=LABEL + len(layers) * step,
        height=HEAD + len(kinds) * step,
    )


def _plain(details: Iterable[Mapping[str, Any]]) -> Iterable[dict[str, Any]]:
    """Only what is counted: an uploaded report may hold anything else beside it."""
    for detail in details:
        inertia = detail.get("inertia")
        number = inertia if isinstance(inertia, int | float) else 0.0
        yield {"adapter": detail["adapter"], "cluster": detail["cluster"], "inertia": number}
