"""LoRA-LEGO's clusters as a picture: which unit of which adapter went into which brick.

Read from a version's ``merge_report.json``. Units stand in the upper row, adapter by adapter, as tall as they are
large; bricks stand in the lower row; a band joins each unit with its brick.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from marketplace.adapters.gone import is_gone
from marketplace.adapters.models import Version
from marketplace.compositions.cluster_overview import Overview, overview_of
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
    #: The number of its brick.
    brick: int


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
    #: The share of its units that come from its most frequent adapter: 1 where nothing was shared.
    purity: float = 1.0

    @property
    def isolated(self) -> bool:
        """A single unit, which met no other."""
        return len(self.members) == 1

    @property
    def middle(self) -> float:
        return self.x + self.width / 2


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
    overview: Overview | None = None

    @property
    def isolated(self) -> int:
        return sum(brick.isolated for brick in self.bricks)

    @property
    def purity(self) -> float:
        """Over the module's units."""
        return sum(brick.purity * len(brick.members) for brick in self.bricks) / len(self.units)

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
    if file is None or file.blob.size > MAX_REPORT or is_gone(file):
        return None
    with blob_store().open(file.blob_id) as stream:
        try:
            report = json.loads(stream.read())
        except ValueError:
            # People may upload a file of this name with anything inside.
            return None
    return report if isinstance(report, dict) and isinstance(report.get("modules"), list) else None


def details_of(report: Mapping[str, Any] | None) -> dict[str, Mapping[str, Any]]:
    """Module → its units one by one, where the report has clusters that can be drawn."""
    return {
        str(entry["name"]): entry["detail"]
        for entry in (report or {}).get("modules", [])
        if isinstance(entry, Mapping) and _has_clusters(entry.get("detail"))
    }


def clusters_of(version: Version, module: str = "") -> Clusters | None:
    """The picture of one module; None where the method has no clusters.

    Unless told, the module in which most bricks hold units of several adapters: there the merge has most to show.
    """
    report = read_report(version)
    details = details_of(report)
    if report is None or not details:
        return None
    name = module if module in details else max(details, key=lambda known: _mixed(details[known]))
    labels = labels_of(version, report, details.values())
    drawn = _draw(name, list(details), details[name], labels)
    return replace(drawn, overview=overview_of(details, labels, [colour_of(i) for i in range(len(labels))], name))


def _mixed(detail: Mapping[str, Any]) -> int:
    """How many bricks hold units of more than one adapter."""
    sources: dict[int, set[int]] = defaultdict(set)
    for adapter, cluster in zip(detail["adapter"], detail["cluster"], strict=True):
        sources[cluster].add(adapter)
    return sum(len(adapters) > 1 for adapters in sources.values())


def _has_clusters(detail: Any) -> bool:
    keys = ("adapter", "unit", "cluster", "size")
    if not isinstance(detail, Mapping) or not all(isinstance(detail.get(key), list) for key in keys):
        return False
    lengths = {len(detail[key]) for key in keys}
    whole = all(isinstance(value, int) and value >= 0 for key in keys[:3] for value in detail[key])
    return lengths != {0} and len(lengths) == 1 and whole and all(isinstance(v, int | float) for v in detail["size"])


def units_of(detail: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One module's units one by one."""
    columns = zip(detail["adapter"], detail["unit"], detail["cluster"], detail["size"], strict=True)
    return [{"adapter": owner, "unit": unit, "brick": brick, "size": size} for owner, unit, brick, size in columns]


def labels_of(version: Version, report: Mapping[str, Any], details: Iterable[Mapping[str, Any]]) -> list[str]:
    """Names of the merged adapters; those that the reader may not see (``selectors.recipe_of``) have none."""
    parents = (version.recipe or {}).get("parents") or report.get("adapters") or []
    known = [str(parent.get("label", "")) if isinstance(parent, Mapping) else str(parent) for parent in parents]
    count = max(max(detail["adapter"]) for detail in details) + 1
    return [known[i] if i < len(known) and known[i] else f"adapter {i + 1}" for i in range(count)]


def colour_of(index: int) -> str:
    """Distinct hues of one lightness: adapters of one base share the base's hue, so they need colours of their own."""
    return f"oklch(65% .13 {(_FIRST_HUE + index * _GOLDEN_ANGLE) % 360:.0f})"


def _draw(name: str, modules: list[str], detail: Mapping[str, Any], labels: list[str]) -> Clusters:
    members: dict[int, list[tuple[int, int, float]]] = defaultdict(list)
    by_source: dict[int, list[tuple[int, int, float]]] = defaultdict(list)
    for adapter, unit, cluster, size in zip(
        detail["adapter"], detail["unit"], detail["cluster"], detail["size"], strict=True
    ):
        members[cluster].append((adapter, unit, float(size)))
        by_source[adapter].append((unit, cluster, float(size)))
    unit_width = sum(len(units) for units in by_source.values()) * (UNIT + UNIT_GAP)
    unit_width += (len(by_source) - 1) * GROUP_GAP
    width = max(unit_width, len(members) * (46.0 + BRICK_GAP))
    ordered = sorted(members, key=lambda cluster: _place(members[cluster]))
    numbers = {cluster: number for number, cluster in enumerate(ordered)}
    bricks = [_brick(n, members[cluster], labels, width / len(ordered)) for cluster, n in numbers.items()]
    sources, units = _sources(by_source, numbers, bricks, labels, (width - unit_width) / 2)
    inertia = detail.get("inertia")
    return Clusters(
        module=name,
        modules=modules,
        width=width,
        height=HEIGHT,
        sources=sources,
        units=units,
        bricks=bricks,
        mixed=sum(len({adapter for adapter, _, _ in parts}) > 1 for parts in members.values()),
        inertia=float(inertia) if isinstance(inertia, int | float) else None,
    )


def _place(parts: list[tuple[int, int, float]]) -> tuple[float, float]:
    """Bricks stand below the middle of their units, so that bands cross as little as they can."""
    return (
        sum(adapter for adapter, _, _ in parts) / len(parts),
        sum(unit for _, unit, _ in parts) / len(parts),
    )


def _sources(
    by_source: Mapping[int, list[tuple[int, int, float]]],
    numbers: Mapping[int, int],
    bricks: list[Brick],
    labels: list[str],
    x: float,
) -> tuple[list[Source], list[Unit]]:
    """The upper row from ``x`` on: units of each adapter in the order of their bricks."""
    largest = max(size for units in by_source.values() for _, _, size in units) or 1.0
    sources: list[Source] = []
    drawn: list[Unit] = []
    for adapter in sorted(by_source):
        colour = colour_of(adapter)
        sources.append(Source(labels[adapter], colour, x, len(by_source[adapter])))
        placed = sorted((numbers[cluster], unit, size) for unit, cluster, size in by_source[adapter])
        for number, unit, size in placed:
            height = 6.0 + (UNIT_HEIGHT - 6.0) * size / largest
            words = f"Unit {unit} of {labels[adapter]}, size {size:.3g}, in brick {number + 1}"
            path = _band(x + UNIT / 2, UNIT_TOP + UNIT_HEIGHT, bricks[number].middle, BRICK_TOP - 7)
            drawn.append(Unit(x, UNIT_TOP + UNIT_HEIGHT - height, height, colour, words, path, number + 1))
            x += UNIT + UNIT_GAP
        x += GROUP_GAP
    return sources, drawn


def _band(x1: float, y1: float, x2: float, y2: float) -> str:
    middle = (y1 + y2) / 2
    return f"M{x1:.1f} {y1:.1f}C{x1:.1f} {middle:.1f} {x2:.1f} {middle:.1f} {x2:.1f} {y2:.1f}"


def _brick(number: int, members: list[tuple[int, int, float]], labels: list[str], pitch: float) -> Brick:
    """The brick of one cluster: its sources' shares by size, one stud per unit, at most six."""
    width = min(pitch - BRICK_GAP, 96.0)
    x = number * pitch + (pitch - width) / 2
    shares: dict[int, float] = defaultdict(float)
    for adapter, _, size in members:
        shares[adapter] += size
    total = sum(shares.values()) or 1.0
    parts, left = [], x
    for adapter in sorted(shares):
        parts.append(Part(left, width * shares[adapter] / total, colour_of(adapter)))
        left += parts[-1].width
    count = min(len(members), 6)
    step = width / count
    studs = [x + i * step + (step - min(7.0, step * 0.7)) / 2 for i in range(count)]
    words = [f"{labels[adapter]} unit {unit} (size {size:.3g})" for adapter, unit, size in members]
    owners = Counter(adapter for adapter, _, _ in members)
    purity = max(owners.values()) / len(members)
    title = f"Brick {number + 1}, purity {100 * purity:.0f} %: {', '.join(words)}"
    return Brick(number, x, width, parts, studs, words, title, purity)
