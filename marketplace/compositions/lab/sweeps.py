"""Sweeps: a grid of weights, methods and ranks, measured on one suite as one job."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from pydantic import ValidationError

from inference_worker.contracts.evaluate import EvaluationSettings
from inference_worker.contracts.jobs import partial_name
from inference_worker.contracts.merge_methods import METHODS
from inference_worker.contracts.merge_output import RankRule
from inference_worker.contracts.merge_sweep import (
    MAX_EXAMPLES,
    MAX_POINTS,
    MergeSweepRequest,
    MergeSweepResult,
    SweepExample,
    SweepPoint,
    SweepSuite,
)
from marketplace.accounts.models import User
from marketplace.adapters import selectors as adapters
from marketplace.adapters.models import Adapter
from marketplace.compositions.answering import own_formats, prompt_format_of
from marketplace.compositions.halves import fitted_on_half, is_for_fitting
from marketplace.compositions.lab.previews import SWEEP, answering_base, base_files_of
from marketplace.compositions.lab.quotes import quotes_in
from marketplace.compositions.lab.sweep_intervals import with_intervals
from marketplace.compositions.members import Choice, Member
from marketplace.compositions.output_fields import write_rule
from marketplace.compositions.planning import MergePlan, invalid, plan_merge, vary
from marketplace.core.errors import Invalid, TooManyRequests
from marketplace.core.store import blob_store
from marketplace.evaluations.selectors import get_suite, lines_of
from marketplace.jobs import services as jobs
from marketplace.jobs.models import Job
from marketplace.moderation import audit

PARENTS = "parents"
#: What names of built-in suites begin with.
BUILTIN = "testbed:"
#: Names examples that somebody wrote for one sweep.
OWN_EXAMPLES = "examples of your own"
#: In a job's subject: the suite as it was asked for, to be looked up again; absent where examples were written.
SUITE = "suite"
MAX_TOKENS = 48
#: Settings of one person's sweeps that may wait or run at a time.
MOST_OPEN_POINTS = 2 * MAX_POINTS
HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Axes:
    """What is varied; an empty axis keeps what the settings say. ``weights`` holds one list per point."""

    weights: Sequence[Sequence[float]] = ()
    methods: Sequence[str] = ()
    ranks: Sequence[Any] = ()

    def __len__(self) -> int:
        return max(len(self.weights), 1) * max(len(self.methods), 1) * max(len(self.ranks), 1)


@dataclass(frozen=True)
class Asked:
    """What is measured on: the parents' own examples (``parents``), a built-in suite by name, one of the site by its
    id, or ``examples``."""

    suite: str = PARENTS
    count: int = 8
    examples: Sequence[Mapping[str, str]] = field(default_factory=list)


def create_sweep(
    *,
    user: User,
    axes: Axes,
    asked: Asked,
    members: Sequence[tuple[Adapter, float] | Choice],
    method: str,
    output: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    seed: int = 0,
    layer_weights: Sequence[Sequence[Mapping[str, Any]]] = (),
    idempotency_key: str | None = None,
) -> Job:
    """Enqueue a sweep. The options are ``method``'s; other methods of the grid run with their defaults.

    Raises ``Invalid`` (an empty or too large grid, a point that cannot be merged, a suite without examples).
    """
    given = [Choice(*member) for member in members]
    points = _grid(axes, [float(member.weight) for member in given], method, dict(output or {}))
    first = plan_merge(
        user=user,
        members=given,
        method=method,
        output=output,
        options=options,
        seed=seed,
        layer_weights=layer_weights,
    )
    plans = [
        vary(first, weights=weights, method=name, output=written, options=(options or {}) if name == method else {})
        for weights, name, written in points
    ]
    base = answering_base(user, first)
    request, notes = _request(user, plans, axes, asked, base)
    with transaction.atomic():
        if known := jobs.check_open(user, SWEEP, idempotency_key):
            return known
        check_points(user, len(plans))
        job = jobs.create_job(
            owner=user,
            kind=SWEEP,
            request=request,
            subject={**plans[0].subject, "notes": notes, "points": len(plans), **_source(user, first, asked)},
            title=f"Sweep {len(plans)} setting{'s' if len(plans) > 1 else ''} of merging {len(members)} adapters",
            idempotency_key=idempotency_key,
        )
        audit.record(actor=user, action="merge.sweep", target=str(job.pk), points=len(plans), members=plans[0].names)
    return job


def _source(user: User, plan: MergePlan, asked: Asked) -> dict[str, Any]:
    """Where the examples come from, for a job's subject."""
    if asked.examples:
        return quotes_in(user, plan.members, [str(row.get("prompt", "")) for row in asked.examples])
    return {SUITE: asked.suite}


def check_points(user: User, count: int, again: Job | None = None) -> None:
    """A sweep costs what its settings cost, also ``again``. Raises ``TooManyRequests``; call after ``check_open``,
    which locks."""
    own = Job.objects.filter(owner=user, kind=SWEEP)
    own = own.exclude(pk=again.pk) if again is not None else own
    waiting = _points(own.exclude(state__in=Job.ENDED))
    if waiting and waiting + count > MOST_OPEN_POINTS:
        raise TooManyRequests(
            f"{waiting} settings of your sweeps are still to be measured, and {MOST_OPEN_POINTS} is the most. "
            "Wait until a sweep has ended, or cancel one.",
            code="too_many_jobs",
        )
    now = timezone.now()
    recent = own.filter(created_at__gt=now - HOUR).order_by("created_at")
    asked = _points(recent)
    if asked and asked + count > settings.SWEEP_POINTS_PER_HOUR:
        wait = math.ceil((recent[0].created_at + HOUR - now).total_seconds())
        raise TooManyRequests(
            f"You asked for {asked} settings of sweeps within the last hour, and {settings.SWEEP_POINTS_PER_HOUR} is "
            f"the most. The first of them is an hour old in {math.ceil(wait / 60)} minutes.",
            extra={"retry_after": wait},
        )


def _points(sweeps: QuerySet[Job]) -> int:
    return sum(subject.get("points", 0) for subject in sweeps.values_list("subject", flat=True))


def _grid(
    axes: Axes, weights: list[float], method: str, output: dict[str, Any]
) -> list[tuple[Sequence[float], str, dict[str, Any]]]:
    """Every point: weights, method, output. Raises ``Invalid``."""
    if len(axes) > MAX_POINTS:
        raise invalid("sweep", f"These are {len(axes)} settings; at most {MAX_POINTS} are swept at once.")
    for row in axes.weights:
        if len(row) != len(weights):
            written = ", ".join(f"{weight:g}" for weight in row)
            raise invalid("sweep_weights", f"“{written}” are {len(row)} weights for {len(weights)} adapters.")
    if unknown := next((name for name in axes.methods if name not in METHODS), ""):
        raise invalid("sweep_methods", f"There is no merge method “{unknown}”.")
    ranks = [{**output, "rank": rank} for rank in axes.ranks] or [output]
    return list(itertools.product(axes.weights or [weights], axes.methods or [method], ranks))


def _request(
    user: User, plans: Sequence[MergePlan], axes: Axes, asked: Asked, base: Any
) -> tuple[MergeSweepRequest, list[str]]:
    """The closed plan, and what to know of its results, in sentences."""
    common, notes = prompt_format_of(base=base, members=plans[0].members)
    fitted = [plan.request.method for plan in plans if plan.request.fit is not None][:1]
    found = examples_asked(user, plans[0].members, asked, half=bool(fitted))
    if "prompt_format" in found:
        notes = []
    if asked.suite == PARENTS and not asked.examples:
        own = ["The members expect different prompt formats; each example is asked in that of its adapter."]
        notes = [*(own if notes else []), *map(fitted_on_half, fitted)]
    try:
        request = MergeSweepRequest(
            base=base_files_of(base),
            points=tuple(SweepPoint(label=_label(plan, axes), merge=plan.request) for plan in plans),
            suite=SweepSuite.model_validate({"prompt_format": common.model_dump(), "count": asked.count, **found}),
            settings=EvaluationSettings(max_tokens=MAX_TOKENS),
        )
        return request, notes
    except ValidationError as error:
        words = "; ".join(str(fault["msg"]) for fault in error.errors()[:3])
        raise Invalid(f"The sweep has faults. {words}", extra={"fields": {"sweep": [words]}}) from error


def _label(plan: MergePlan, axes: Axes) -> str:
    """What tells this point from the others, shortest first."""
    parts = []
    if axes.methods or not (axes.weights or axes.ranks):
        parts.append(METHODS[plan.request.method].title)
    if axes.weights:
        parts.append(" : ".join(f"{weight:g}" for weight in plan.request.weights))
    if axes.ranks:
        rule: RankRule | None = plan.request.output.rank
        words = write_rule(rule) or "of the method"
        parts.append(f"rank {words}")
    return ", ".join(parts)


def examples_asked(user: User, members: Sequence[Member], asked: Asked, *, half: bool) -> dict[str, Any]:
    """Fields of a ``SweepSuite``, as far as ``user`` may use it. ``half``: of the parents' examples those that no
    weights are found from. Raises ``Invalid`` where there are none, ``NotFound`` for a suite out of sight."""
    if asked.examples:
        examples = [
            {"prompt": str(row.get("prompt", "")), "expected": str(row.get("expected", ""))} for row in asked.examples
        ]
        return {"name": OWN_EXAMPLES, "examples": examples}
    if asked.suite.startswith(BUILTIN):
        return {"name": asked.suite, "builtin": asked.suite}
    if asked.suite != PARENTS:
        return _stored_suite(user, asked.suite)
    found = parents_examples(user, members, half=half)
    if not found and half:
        raise invalid(
            "suite",
            "The weights are found on one half of the adapters' own examples, and the other half is empty. Write more "
            "examples, or choose another suite.",
        )
    if not found:
        raise invalid(
            "suite",
            "None of these adapters has an example with its expected answer that you may see. Write examples of your "
            "own, or choose another suite.",
        )
    return {"name": "the adapters' own examples", "examples": found}


def _stored_suite(user: User, suite_id: str) -> dict[str, Any]:
    """A suite of the site, by its id. Raises ``NotFound``."""
    suite = get_suite(user=user, suite_id=suite_id)
    found: dict[str, Any] = {"prompt_format": suite.prompt_format} if suite.prompt_format else {}
    if suite.builtin:
        return {**found, "name": suite.name, "builtin": suite.builtin}
    examples = []
    for line in itertools.islice(lines_of(suite), MAX_EXAMPLES):
        first, *others = line["expected"] if isinstance(line["expected"], list) else [line["expected"]]
        examples.append({"prompt": line["prompt"], "expected": first, "also": others, "task": line.get("task", "")})
    return {**found, "name": suite.name, "examples": examples}


def parents_examples(user: User, parents: Sequence[Member], *, half: bool = False) -> list[SweepExample]:
    """The examples with answers of each adapter, as far as ``user`` may see them, or the ``half`` of them that no
    weights are found from; every adapter gets the same room, and its examples its own prompt format."""
    room = MAX_EXAMPLES // max(len(parents), 1)
    formats = own_formats(parents)
    found = []
    for parent in parents:
        own, name = formats.get(parent.adapter.pk), parent.adapter.full_name
        rows = adapters.examples_of(user=user, adapter=parent.adapter).exclude(expected="")
        chosen = [row for row in rows if not (half and is_for_fitting(row.prompt))][:room]
        found += [SweepExample(prompt=x.prompt, expected=x.expected, task=name, prompt_format=own) for x in chosen]
    return found


def result_of(job: Job) -> MergeSweepResult | None:
    """What is measured so far: of a sweep that runs or was stopped, the cells that are finished."""
    if job.result:
        return with_intervals(MergeSweepResult.model_validate(job.result))
    data = blob_store().get_document(partial_name(str(job.pk)))
    if data is None:
        return None
    try:
        return with_intervals(MergeSweepResult.model_validate_json(data))
    except ValidationError:
        return None  # Written by a worker of another version; the job's own result will tell.
