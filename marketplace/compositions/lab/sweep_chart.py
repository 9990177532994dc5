"""A sweep as a chart and as the table behind it: every point with its interval; base, best parent and the parents'
ensemble as lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from inference_worker.contracts.evaluate import Estimate
from inference_worker.contracts.merge_sweep import MergeSweepResult, SweepCell
from marketplace.evaluations.models import Standing
from marketplace.evaluations.verdicts import MIN_EXAMPLES, effect

METRIC = "exact_match"
LEFT, TOP, HEIGHT, FOOT = 44.0, 16.0, 220.0, 84.0
MIN_STEP, MAX_STEP, SHOWN = 26.0, 84.0, 720.0
#: Least distance of the words beside two lines.
LINE_GAP = 13.0
#: Labels are written below the points while so many of them have room.
MOST_LABELS = 12


@dataclass
class Row:
    """A line of the table. ``save`` is the address of the form with the point's settings."""

    kind: str
    position: int
    label: str
    value: Estimate | None
    f1: Estimate | None
    tasks: list[tuple[str, float]]
    rank: int | None
    verdict: str
    tone: str  # "good", "warn", "bad" or ""
    fault: str
    #: The highest setting, where ``best`` tells whether that means anything.
    highest: bool = False
    best: bool = False
    save: str = ""


@dataclass(frozen=True)
class Table:
    """``highest`` is the highest setting, crowned (``Row.best``) only where there were enough examples to judge it by
    and no other setting came as high."""

    rows: list[Row]
    highest: Row | None
    done: int


@dataclass(frozen=True)
class Mark:
    """One point of the chart, in SVG units."""

    x: float
    y: float
    low: float
    high: float
    label: str
    title: str
    best: bool


@dataclass(frozen=True)
class Line:
    """``words`` is where the label stands, which keeps away from those of other lines."""

    y: float
    label: str
    kind: str
    words: float = 0.0


@dataclass(frozen=True)
class Chart:
    width: float
    height: float
    bottom: float
    marks: list[Mark]
    lines: list[Line]
    ticks: list[tuple[float, str]]
    labelled: bool
    waiting: int = 0
    right: float = field(default=0.0)


def table_of(result: MergeSweepResult) -> Table:
    rows = [_row(cell) for cell in result.cells]
    points = [row for row in rows if row.kind == "point" and row.value is not None]
    highest = max(points, key=_height, default=None)
    if highest is not None:
        highest.highest = True
        highest.best = highest.tone != "" and sum(_height(row) == _height(highest) for row in points) == 1
    return Table(rows, highest, sum(row.kind == "point" for row in rows))


def _height(row: Row) -> tuple[float, float]:
    return (row.value.value if row.value else 0.0, row.f1.value if row.f1 else 0.0)


def _row(cell: SweepCell) -> Row:
    words, tone = _verdict(cell)
    return Row(
        kind=cell.kind,
        position=cell.position,
        label=cell.label,
        value=cell.overall.get(METRIC),
        f1=cell.overall.get("token_f1"),
        tasks=[(task, found[METRIC].value) for task, found in cell.tasks.items() if METRIC in found],
        rank=cell.rank,
        verdict=words,
        tone=tone,
        fault=cell.fault,
    )


def _verdict(cell: SweepCell) -> tuple[str, str]:
    """Plainly, by the rule of all measured results (``evaluations.verdicts.effect``): of few examples nothing is said,
    and what chance makes too often is no difference."""
    base, parent = cell.against_base, cell.against_best_parent
    if base is None or parent is None:
        return "", ""
    if parent.n < MIN_EXAMPLES:
        return f"too few examples to tell, {MIN_EXAMPLES} are needed", ""
    if effect(base.model_dump(exclude_none=True)) == Standing.Verdict.WORSE:
        return "worse than the base", "bad"
    found = effect(parent.model_dump(exclude_none=True))
    if found == Standing.Verdict.WORSE:
        return "worse than the best parent", "bad"
    if found == Standing.Verdict.BETTER:
        return "better than the best parent", "good"
    return "no better than the best parent", "warn"


def chart_of(result: MergeSweepResult, labels: Sequence[str]) -> Chart | None:
    """None before the first point is measured."""
    cells = {cell.position: cell for cell in result.cells if cell.kind == "point" and METRIC in cell.overall}
    if not cells:
        return None
    step = max(MIN_STEP, min(MAX_STEP, (SHOWN - LEFT - 120) / len(labels)))
    right = LEFT + step * len(labels)
    best = next((row.position for row in table_of(result).rows if row.best), None)
    marks = [
        Mark(
            x=LEFT + step * (position + 0.5),
            y=_y(cell.overall[METRIC].value),
            low=_y(cell.overall[METRIC].low),
            high=_y(cell.overall[METRIC].high),
            label=labels[position],
            title=f"{labels[position]}: {_percent(cell.overall[METRIC])}",
            best=position == best,
        )
        for position, cell in sorted(cells.items())
    ]
    return Chart(
        width=right + 120,
        height=TOP + HEIGHT + FOOT,
        bottom=TOP + HEIGHT,
        marks=marks,
        lines=_lines(result),
        ticks=[(_y(value / 100), f"{value}") for value in (0, 25, 50, 75, 100)],
        labelled=len(labels) <= MOST_LABELS,
        waiting=len(labels) - len(cells),
        right=right,
    )


def _lines(result: MergeSweepResult) -> list[Line]:
    """The bare base, the best parent and the parents' ensemble, from the highest to the lowest."""
    names = {"base": "base", "ensemble": "ensemble"}
    found = []
    for cell in result.cells:
        best = cell.kind == "parent" and cell.position == result.best_parent
        if METRIC in cell.overall and (best or cell.kind in names):
            found.append(Line(_y(cell.overall[METRIC].value), names.get(cell.kind, "best parent"), cell.kind))
    placed: list[Line] = []
    for line in sorted(found, key=lambda line: line.y):
        placed.append(replace(line, words=max(line.y, placed[-1].words + LINE_GAP) if placed else line.y))
    return placed


def _y(share: float) -> float:
    return TOP + HEIGHT * (1.0 - share)


def _percent(estimate: Estimate) -> str:
    return f"{100 * estimate.value:.0f} %, {100 * estimate.low:.0f} to {100 * estimate.high:.0f} %"
