"""What is known of an adapter by measurement, as pages and REST show it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal
from uuid import UUID

from django.db.models import Q

from marketplace import policy
from marketplace.adapters.models import Adapter, Version
from marketplace.adapters.selectors import nameable_adapters
from marketplace.compositions.halves import caution_of
from marketplace.evaluations.current import runs_beside
from marketplace.evaluations.figures import gain
from marketplace.evaluations.hiding import hidden_suites
from marketplace.evaluations.models import EvaluationRun, EvaluationSuite, Standing
from marketplace.evaluations.suites import parent_task
from marketplace.evaluations.verdicts import METRICS, Named, Verdict, metric_of, verdicts_of, where

Numbers = dict[str, Any]  # contracts.evaluate.Estimate
Kind = Literal["adapter", "parent", "ensemble"]
HIDDEN = "a parent that you may not see"
#: Newest results on suites of people's own that are shown.
MOST_OTHERS = 10
ENSEMBLE = "the parents as an ensemble"

_State = EvaluationRun.State
_Kind = EvaluationSuite.Kind


@dataclass(frozen=True)
class Bar:
    """One bar of the chart: from ``base`` to ``value``, with the interval of the paired gain around its end, and the
    base's own interval where there is one; shares of 1. ``kind`` says whose it is."""

    label: str
    kind: Kind
    base: float
    value: float
    low: float
    high: float
    base_low: float | None = None
    base_high: float | None = None

    @property
    def places(self) -> dict[str, str]:
        """Percentages of the chart's width, as attributes of SVG take them."""
        marks = {"base": self.base, "value": self.value, "low": self.low, "high": self.high}
        start, end = sorted((self.base, self.value))
        marks |= {"start": start, "width": end - start}
        if self.base_low is not None and self.base_high is not None:
            marks |= {"base_low": self.base_low, "base_high": self.base_high}
        return {name: f"{100 * min(max(mark, 0.0), 1.0):.2f}%" for name, mark in marks.items()}

    @property
    def gain(self) -> float:
        return gain(self.base, self.value)

    @property
    def low_gain(self) -> float:
        return self.low - self.base

    @property
    def high_gain(self) -> float:
        return self.high - self.base

    @property
    def tone(self) -> str:
        """By the interval: whether it gains or loses for sure."""
        return "gains" if self.low > self.base else "loses" if self.high < self.base else "open"


@dataclass(frozen=True)
class Line:
    """One line of the table: estimates by metric, without and with the adapter."""

    label: str
    base: dict[str, Numbers]
    value: dict[str, Numbers]
    difference: dict[str, Numbers] = field(default_factory=dict)

    def row(self, metric: str) -> dict[str, Any]:
        """For a table: label, metric's title, the three estimates and the plain gain, None where there is none. Parts
        have a gain and no interval of it."""
        estimates = {"base": self.base, "value": self.value, "difference": self.difference}
        found = {name: by_metric.get(metric) for name, by_metric in estimates.items()}
        base, value, difference = found.values()
        above = gain(base["value"], value["value"]) if base and value else None
        if difference and above is not None:
            found["difference"] = {**difference, "value": above}
        return {"label": self.label, "metric": METRICS[metric], "gain": above, **found}


@dataclass(frozen=True)
class Result:
    """One run with everything that is shown of it; without numbers while it waits and where it failed."""

    run: EvaluationRun
    where: str
    #: Whose job it is: the asker's.
    own_job: bool = False
    metric: str = "exact_match"
    bars: tuple[Bar, ...] = ()
    lines: tuple[Line, ...] = ()
    parts: tuple[Line, ...] = ()
    #: A merge's parents on the same suite, with the names that the reader may know them by.
    parents: tuple[Named, ...] = ()
    #: The adapter's owner has hidden it, and the asker sees it nevertheless.
    hidden: bool = False

    @property
    def metric_title(self) -> str:
        return METRICS[self.metric]

    @property
    def measured(self) -> bool:
        return bool(self.bars)

    @property
    def examples(self) -> int:
        return int(self.run.estimates["overall"][self.metric]["n"]) if self.measured else 0

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The table: every line in both metrics, then its parts in the one that counts."""
        metrics = [metric for metric in METRICS if self.lines and metric in self.lines[0].value]
        return [
            *(line.row(metric) for line in self.lines for metric in metrics),
            *(part.row(self.metric) for part in self.parts if self.metric in part.value),
        ]


@dataclass(frozen=True)
class Report:
    standing: Standing | None
    results: tuple[Result, ...]
    others: tuple[Result, ...]
    verdicts: tuple[Verdict, ...]
    #: Results on other suites that the adapter's owner keeps from the asker.
    kept_back: int = 0
    #: What to know of the results on a merge's parents' examples before believing them.
    caution: str = ""

    @property
    def all(self) -> tuple[Result, ...]:
        return (*self.results, *self.others)

    @property
    def waits(self) -> bool:
        return any(result.run.state == _State.WAITING for result in self.all)


def report_of(user: policy.Person, adapter: Adapter) -> Report:
    """Of the current version: how it is run now on what every adapter is run on, and its newest runs on other suites
    that ``user`` may see."""
    standing = Standing.objects.filter(adapter=adapter).first()
    if adapter.current is None:
        return Report(standing, (), (), ())
    own = set(standing.suites.values_list("pk", flat=True)) if standing else set()
    newest = _newest_runs(user, adapter.current, own, standing.keys if standing else {})
    secret = hidden_suites(adapter)
    kept_back = {
        run.suite_id for run in newest if run.suite_id in secret and not policy.may_see_hidden(user, adapter, run.suite)
    }
    shown = [run for run in newest if run.suite_id not in kept_back]
    others = [run for run in shown if run.suite_id not in own]
    # Everybody may run it on a suite of theirs: the page is not theirs to fill.
    left_out = {run.pk for run in sorted(others, key=lambda run: run.created_at)[:-MOST_OTHERS]}
    results = results_of(user, adapter, [run for run in shown if run.pk not in left_out])
    verdicts: list[Verdict] = []
    for result in results:
        if result.run.suite_id in own:
            verdicts += verdicts_of([result.run], result.parents)
    order = {_Kind.PARENTS: 0, _Kind.EXAMPLES: 1}
    results.sort(key=lambda result: (order.get(_Kind(result.run.suite.kind), 2), result.run.created_at))
    return Report(
        standing,
        tuple(result for result in results if result.run.suite_id in own),
        tuple(result for result in results if result.run.suite_id not in own),
        tuple(verdicts),
        len(kept_back),
        caution_of(adapter.current),
    )


def _newest_runs(user: policy.Person, version: Version, own: set[UUID], keys: dict[str, str]) -> list[EvaluationRun]:
    """Of the version on each suite that is its own, by ``keys``, or that ``user`` may see."""
    seen = EvaluationSuite.objects.filter(policy.visible_suites(user)).values("pk")
    runs = EvaluationRun.objects.filter(artifact=version.artifact_id)
    runs = runs.filter(Q(suite__in=own, key__in=keys.values()) | Q(suite__in=seen) & ~Q(suite__in=own))
    newest: dict[UUID, EvaluationRun] = {}
    # What is measured stays in sight while it is measured once more.
    for run in runs.select_related("suite__owner", "against", "base", "job").order_by("created_at", "pk"):
        before = newest.get(run.suite_id)
        if before is None or run.state == _State.MEASURED or before.state != _State.MEASURED:
            newest[run.suite_id] = run
    return list(newest.values())


def results_of(user: policy.Person, adapter: Adapter, runs: Sequence[EvaluationRun]) -> list[Result]:
    """Certain runs of ``adapter``, as ``user`` may see them."""
    names, secret = _names(user, runs), hidden_suites(adapter)
    return [replace(_result(user, run, adapter, names), hidden=run.suite_id in secret) for run in runs]


def _names(user: policy.Person, runs: Iterable[EvaluationRun]) -> dict[str, str]:
    """Task of a parents' suite → the name that ``user`` may know the parent by."""
    found = {task for run in runs if run.suite.kind == _Kind.PARENTS for task in run.estimates.get("tasks", {})}
    keys = [int(task.partition(":")[2]) for task in found]
    adapters = nameable_adapters(user).filter(pk__in=keys).select_related("owner")
    return {parent_task(adapter.pk): adapter.full_name for adapter in adapters}


def _parents(user: policy.Person, run: EvaluationRun) -> list[Named]:
    """The runs of a merge's parents on its suite, with the names that ``user`` may know them by."""
    beside = runs_beside(run)
    if not beside:
        return []
    versions = {row["version"] for other in beside for row in other.subject}
    seen = nameable_adapters(user).filter(versions__in=versions).values("pk")
    known = Version.objects.filter(pk__in=versions, adapter__in=seen).select_related("adapter__owner")
    names = {version.pk: version.adapter.full_name for version in known}
    return [
        (other, ENSEMBLE if other.is_ensemble else names.get(other.subject[0]["version"], HIDDEN))
        for other in sorted(beside, key=lambda other: other.is_ensemble)
    ]


def _result(user: policy.Person, run: EvaluationRun, adapter: Adapter, names: dict[str, str]) -> Result:
    title = where(run.suite)
    title = title[:1].upper() + title[1:]
    own = run.job is not None and policy.owns(user, run.job)
    if run.state != _State.MEASURED or not run.difference:
        return Result(run, title, own)
    metric, parents = metric_of(run), _parents(user, run)
    bars = [_bar(run, adapter.full_name, "adapter", metric)]
    bars += [_bar(other, label, "ensemble" if other.is_ensemble else "parent", metric) for other, label in parents]
    lines = [_line(run, adapter.full_name), *(_line(other, label) for other, label in parents)]
    return Result(run, title, own, metric, tuple(bars), tuple(lines), tuple(_parts(run, names)), tuple(parents))


def _bar(run: EvaluationRun, label: str, kind: Kind, metric: str) -> Bar:
    value = float(run.estimates["overall"][metric]["value"])
    difference = run.difference.get(metric) or {"value": 0.0, "low": 0.0, "high": 0.0}
    base = value - difference["value"]
    own = _overall(run.against).get(metric, {})
    low, high = base + difference["low"], base + difference["high"]
    return Bar(label, kind, base, value, low, high, own.get("low"), own.get("high"))


def _line(run: EvaluationRun, label: str) -> Line:
    return Line(label, _overall(run.against), _overall(run), run.difference)


def _overall(run: EvaluationRun | None) -> dict[str, Numbers]:
    return run.estimates.get("overall", {}) if run is not None else {}


def _parts(run: EvaluationRun, names: dict[str, str]) -> Sequence[Line]:
    """Clusters where there are some, else tasks, where there is more than one."""
    level = "clusters" if run.estimates.get("clusters") else "tasks"
    own, base = run.estimates.get(level, {}), (run.against.estimates if run.against else {}).get(level, {})
    if len(own) < 2:
        return []
    hidden = run.suite.kind == _Kind.PARENTS
    return [Line(names.get(name, HIDDEN) if hidden else name, base.get(name, {}), value) for name, value in own.items()]
