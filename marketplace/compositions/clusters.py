"""LoRA-LEGO's clusters as a picture: which unit of which adapter went into which brick.

Read from a version's ``merge_report.json``. Units stand in the upper row, adapter by adapter, as tall as they are
large; bricks stand in the lower row; a band joins each unit with its brick.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from marketplace.adapters.models import Version
from marketplace.core.store import blob_store

REPORT = "merge_report.json"
MAX_REPORT = 32 * 1024 * 1024
UNIT, UNIT_GAP, GROUP_GAP = 14.0, 3.0, 22.0
UNIT_TOP, UNIT_HEIGHT = 24.0, 44.0
BRICK_TOP, BRICK_HEIGHT, BRICK_GAP = 168.0, 40.0, 8.0
HEIGHT = 236.0
_GOLDEN_ANGLE = 137.508
_FIRST_HUE = 30.0


@dataclass(frozen=True)
class Source:
    """One merged adapter. ``x`` is the left end of its units."""

    label: str
    colour: str
    x: float
    units: int


@dataclass(frozen=True)
class Unit:
    x: float
    y: float
    height: float
    colour: str
    title: str
    path: str


@dataclass(frozen=True)
class Part:
    """A source's share of a brick."""

    x: float
    width: float
    colour: str


@dataclass(frozen=True)
class Brick:
    number: int
    x: float
    width: float
    parts: list[Part]
    studs: list[float]
    members: list[str]
    title: str


@dataclass(frozen=True)
class Clusters:
    """Positions in SVG units. ``mixed`` counts the bricks in which units of several adapters meet."""

    module: str
    modules: list[str]
    width: float
    height: float
    sources: list[Source]
    units: list[Unit]
    bricks: list[Brick]
    mixed: int
    inertia: float | None

    @property
    def scale(self) -> float:
        """Small pictures are shown larger; large ones scroll."""
        return max(1.0, min(1.7, 720.0 / self.width))

    @property
    def shown_width(self) -> int:
        return round(self.width * self.scale)

    @property
    def shown_height(self) -> int:
        return round(self.height * self.scale)

    @property
    def fits(self) -> bool:
        """Whether a narrow screen can show it whole."""
        return self.width <= 520


def read_report(version: Version) -> dict[str, Any] | None:
    """The version's merge report; None when it has none or it is none that we know."""
    file = version.files.select_related("blob").filter(path=REPORT).first()
    if file is None or file.blob.size > MAX_REPORT:
        return None
    with blob_store().open(file.blob_id) as stream:
        try:
            report = json.loads(stream.read())
        except ValueError:
            # People may upload a file of this name with anything inside.
            return None
    return report if isinstance(report, dict) and isinstance(report.get("modules"), list) else None


def clusters_of(version: Version, module: str = "") -> Clusters | None:
    """The picture of one module (the first one unless told); None where the method has no clusters."""
    report = read_report(version)
    if report is None:
        return None
    by_name = {
        str(entry["name"]): entry["detail"]
        for entry in report["modules"]
        if isinstance(entry, Mapping) and _has_clusters(entry.get("detail"))
    }
    if not by_name:
        return None
    name = module if module in by_name else next(iter(by_name))
    return _draw(name, list(by_name), by_name[name], _labels(version, report, by_name[name]))


def _has_clusters(detail: Any) -> bool:
    keys = ("adapter", "unit", "cluster", "size")
    if not isinstance(detail, Mapping) or not all(isinstance(detail.get(key), list) for key in keys):
        return False
    lengths = {len(detail[key]) for key in keys}
    whole = all(isinstance(value, int) and value >= 0 for key in keys[:3] for value in detail[key])
    return lengths != {0} and len(lengths) == 1 and whole and all(isinstance(v, int | float) for v in detail["size"])


def _labels(version: Version, report: Mapping[str, Any], detail: Mapping[str, Any]) -> list[str]:
    parents = (version.recipe or {}).get("parents") or report.get("adapters") or []
    known = [str(parent.get("label", "")) if isinstance(parent, Mapping) else str(parent) for parent in parents]
    count = max(detail["adapter"]) + 1
    return [known[i] if i < len(known) and known[i] else f"adapter {i + 1}" for i in range(count)]


def colour_of(index: int) -> str:
    """Distinct hues of one lightness: adapters of one base share the base's hue, so they need colours of their own."""
    return f"oklch(65% .13 {(_FIRST_HUE + index * _GOLDEN_ANGLE) % 360:.0f})"


def _draw(name: str, modules: list[str], detail: Mapping[str, Any], labels: list[str]) -> Clusters:
    rows = list(zip(detail["adapter"], detail["unit"], detail["cluster"], detail["size"], strict=True))
    largest = max(float(size) for *_, size in rows) or 1.0
    by_source: dict[int, list[tuple[int, int, float]]] = defaultdict(list)
    for adapter, unit, cluster, size in rows:
        by_source[adapter].append((unit, cluster, float(size)))
    unit_width = sum(len(units) for units in by_source.values()) * (UNIT + UNIT_GAP)
    unit_width += max(0, len(by_source) - 1) * GROUP_GAP
    members: dict[int, list[tuple[int, int, float]]] = defaultdict(list)
    for adapter, unit, cluster, size in rows:
        members[cluster].append((adapter, unit, float(size)))
    width = max(unit_width, len(members) * (46.0 + BRICK_GAP))
    bricks = _bricks(members, labels, width)
    centre = {brick.number: brick.x + brick.width / 2 for brick in bricks}
    sources, units = [], []
    x = (width - unit_width) / 2
    for adapter in sorted(by_source):
        sources.append(Source(labels[adapter], colour_of(adapter), x, len(by_source[adapter])))
        # Units stand in the order of their bricks, so that bands cross as little as they can.
        for unit, cluster, size in sorted(by_source[adapter], key=lambda row: (row[1], row[0])):
            height = 6.0 + (UNIT_HEIGHT - 6.0) * size / largest
            words = f"Unit {unit} of {labels[adapter]}, size {size:.3g}, in brick {cluster + 1}"
            path = _band(x + UNIT / 2, UNIT_TOP + UNIT_HEIGHT, centre[cluster], BRICK_TOP - 7)
            units.append(Unit(x, UNIT_TOP + UNIT_HEIGHT - height, height, colour_of(adapter), words, path))
            x += UNIT + UNIT_GAP
        x += GROUP_GAP
    mixed = sum(len({adapter for adapter, _, _ in parts}) > 1 for parts in members.values())
    inertia = detail.get("inertia")
    return Clusters(
        name, modules, width, HEIGHT, sources, units, bricks, mixed,
        float(inertia) if isinstance(inertia, int | float) else None,
    )  # fmt: skip


def _band(x1: float, y1: float, x2: float, y2: float) -> str:
    middle = (y1 + y2) / 2
    return f"M{x1:.1f} {y1:.1f}C{x1:.1f} {middle:.1f} {x2:.1f} {middle:.1f} {x2:.1f} {y2:.1f}"


def _bricks(members: Mapping[int, list[tuple[int, int, float]]], labels: list[str], width: float) -> list[Brick]:
    pitch = width / len(members)
    brick_width = min(pitch - BRICK_GAP, 96.0)
    bricks = []
    for position, cluster in enumerate(sorted(members)):
        x = position * pitch + (pitch - brick_width) / 2
        shares: dict[int, float] = defaultdict(float)
        for adapter, _, size in members[cluster]:
            shares[adapter] += size
        total = sum(shares.values()) or 1.0
        parts, left = [], x
        for adapter in sorted(shares):
            part = brick_width * shares[adapter] / total
            parts.append(Part(left, part, colour_of(adapter)))
            left += part
        count = min(len(members[cluster]), 6)
        step = brick_width / count
        studs = [x + i * step + (step - min(7.0, step * 0.7)) / 2 for i in range(count)]
        words = [f"{labels[adapter]} unit {unit} (size {size:.3g})" for adapter, unit, size in members[cluster]]
        bricks.append(Brick(cluster, x, brick_width, parts, studs, words, f"Brick {cluster + 1}: {', '.join(words)}"))
    return bricks
