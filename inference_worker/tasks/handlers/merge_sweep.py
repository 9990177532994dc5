"""Merge sweep: a grid of settings of one merge on one suite, beside the base, every parent and the parents' ensemble.

Each cell is written down as it is finished (``partial_name``): the page shows it at once, a cancelled sweep keeps it,
and a later attempt goes on behind it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from inference_worker.contracts.evaluate import Evaluation
from inference_worker.contracts.generate import Strategy, WeightedAdapter
from inference_worker.contracts.jobs import partial_name
from inference_worker.contracts.merge_sweep import (
    MAX_VOICES,
    MergeSweepRequest,
    MergeSweepResult,
    PairedDifference,
    SweepCell,
    SweepPoint,
    SweepSuite,
)
from inference_worker.errors import BadInput, Refused
from inference_worker.evaluation.builtin import builtin_suite
from inference_worker.evaluation.harness import Member, evaluate
from inference_worker.evaluation.statistics import paired_difference
from inference_worker.evaluation.suite import Example, Suite
from inference_worker.serving.pool import EnginePool
from inference_worker.serving.settings import EngineSettings
from inference_worker.tasks.context import JobContext
from inference_worker.tasks.handlers.trial import Bench, alone

METRIC = "exact_match"
ENSEMBLE = "the parents as an ensemble"

Progress = Callable[[float, str], None]


def handle(request: MergeSweepRequest, context: JobContext) -> MergeSweepResult:
    """A point that merging refuses is a cell with its fault; what the suite or a parent is at fault for is raised."""
    with context.going_on("sweep") as cache, EnginePool(EngineSettings.from_environment(os.environ)) as pool:
        return _Sweep(request, context, pool, cache).run()


class _Sweep:
    def __init__(self, request: MergeSweepRequest, context: JobContext, pool: EnginePool, cache: Path) -> None:
        self.request, self.context, self.pool, self.cache = request, context, pool, cache
        self.bench = Bench(context)
        self.suite = suite_of(request.suite)
        self.parents = alone(request.points[0].merge.adapters)
        #: All parents together, where they are as many as can vote.
        self.voices = tuple(member for (member,) in self.parents) if 2 <= len(self.parents) <= MAX_VOICES else ()
        self.total = 1 + len(self.parents) + bool(self.voices) + len(request.points)
        self.scores: dict[tuple[str, int], list[float]] = {}
        self.cells: list[SweepCell] = []
        self.started = time.monotonic()

    def run(self) -> MergeSweepResult:
        known = _finished(self.context, self.request)
        self._bracket("base", 0, self.request.base.name, ())
        for position, members in enumerate(self.parents):
            self._bracket("parent", position, members[0].adapter.label, members)
        if self.voices:
            self._ensemble()
        for position, point in enumerate(self.request.points):
            self._append(known.get(position) or self._point(position, point))
        return self._result()

    def _bracket(
        self,
        kind: Literal["base", "parent", "ensemble"],
        position: int,
        label: str,
        members: Sequence[WeightedAdapter],
        strategy: Strategy = "mix",
    ) -> None:
        """What stands beside the points; outcomes of an earlier attempt are read from the cache."""
        started = time.monotonic()
        evaluation = self._evaluate(members, partial(self._report, label), self.cache, strategy)
        self.scores[kind, position] = _scores(evaluation)
        self._append(
            SweepCell(
                kind=kind,
                position=position,
                label=label,
                overall=evaluation.overall,
                tasks=evaluation.tasks,
                seconds=round(time.monotonic() - started, 3),
            )
        )

    def _ensemble(self) -> None:
        """Some adapters act where only one adapter can; then there is no such bracket, and the cell says why."""
        try:
            self._bracket("ensemble", 0, ENSEMBLE, self.voices, "ensemble")
        except (BadInput, Refused) as error:
            self._append(SweepCell(kind="ensemble", position=0, label=ENSEMBLE, fault=error.message))

    def _append(self, cell: SweepCell) -> None:
        self.cells.append(cell)
        self._keep()
        self.context.log(_words(cell))

    def _point(self, position: int, point: SweepPoint) -> SweepCell:
        started = time.monotonic()
        report = partial(self._report, point.label)
        try:
            with self.bench.trial(point.merge, lambda fraction, words: report(fraction / 2)) as trial:
                evaluation = self._evaluate(trial.members, lambda fraction: report(0.5 + fraction / 2), None)
        except (BadInput, Refused) as error:
            return SweepCell(kind="point", position=position, label=point.label, fault=error.message)
        scores = _scores(evaluation)
        return SweepCell(
            kind="point",
            position=position,
            label=point.label,
            overall=evaluation.overall,
            tasks=evaluation.tasks,
            against_base=self._difference(("base", 0), scores),
            against_best_parent=self._difference(("parent", self._best_parent()), scores),
            rank=trial.rank,
            seconds=round(time.monotonic() - started, 3),
        )

    def _evaluate(
        self,
        members: Sequence[WeightedAdapter],
        progress: Callable[[float], None],
        cache: Path | None,
        strategy: Strategy = "mix",
    ) -> Evaluation:
        return evaluate(
            pool=self.pool,
            resolve=self.bench.resolve,
            base=self.request.base,
            members=[Member(weighted.adapter, weighted.weight) for weighted in members],
            suite=self.suite,
            settings=self.request.settings,
            cache=cache,
            strategy=strategy,
            progress=lambda done, of: progress(done / max(of, 1)),
        )

    def _difference(self, against: tuple[str, int], scores: Sequence[float]) -> PairedDifference:
        settings, before = self.request.settings, self.scores[against]
        found = paired_difference(before, scores, settings.resamples, settings.seed)
        pairs = list(zip(before, scores, strict=True))
        wins, losses = sum(after > b for b, after in pairs), sum(after < b for b, after in pairs)
        return PairedDifference(**found.model_dump(), wins=wins, losses=losses)

    def _best_parent(self) -> int:
        means = [sum(self.scores["parent", position]) for position in range(len(self.parents))]
        return means.index(max(means))

    def _report(self, label: str, fraction: float) -> None:
        self.context.progress((len(self.cells) + fraction) / self.total, f"{len(self.cells)} of {self.total}: {label}")

    def _result(self) -> MergeSweepResult:
        complete = sum(cell.kind == "parent" for cell in self.cells) == len(self.parents)
        return MergeSweepResult(
            cells=tuple(self.cells),
            best_parent=self._best_parent() if complete else 0,
            seconds=round(time.monotonic() - self.started, 3),
        )

    def _keep(self) -> None:
        name = partial_name(self.context.job)
        self.context.blobs.put_document(name, self._result().model_dump_json().encode())


def suite_of(suite: SweepSuite) -> Suite:
    """Raises ``BadInput`` for a built-in suite that there is none of."""
    if suite.builtin:
        return builtin_suite(suite.builtin, count=suite.count)
    examples = tuple(
        Example(one.prompt, (one.expected, *one.also), task=one.task, prompt_format=one.prompt_format)
        for one in suite.examples
    )
    return Suite(suite.name, examples, suite.prompt_format)


def _finished(context: JobContext, request: MergeSweepRequest) -> dict[int, SweepCell]:
    """Points that an earlier attempt of this job measured."""
    data = context.blobs.get_document(partial_name(context.job))
    if data is None:
        return {}
    try:
        cells = MergeSweepResult.model_validate_json(data).cells
    except ValidationError:
        return {}  # Written by another version of this program.
    return {cell.position: cell for cell in cells if cell.kind == "point" and cell.position < len(request.points)}


def _scores(evaluation: Evaluation) -> list[float]:
    """Exact match, example by example."""
    return [float(getattr(outcome, METRIC) or 0.0) for outcome in evaluation.outcomes]


def _words(cell: SweepCell) -> str:
    if cell.fault:
        return f"{cell.label}: {cell.fault}"
    found = cell.overall[METRIC]
    return f"{cell.label}: exact match {found.value:.3f} ({found.low:.3f} to {found.high:.3f})."
