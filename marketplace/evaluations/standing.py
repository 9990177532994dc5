"""Where an adapter stands: what is run on it by itself, and what its newest runs amount to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from inference_worker.contracts.adapter_uses import why_not_generated
from marketplace import policy
from marketplace.adapters.models import Adapter, Artifact, Lineage
from marketplace.bases.models import Base
from marketplace.compositions.members import Member
from marketplace.core.errors import AppError
from marketplace.evaluations.models import EvaluationRun, EvaluationSuite, Standing
from marketplace.evaluations.services import MAX_COMPOSITIONS, request_evaluation
from marketplace.evaluations.subjects import Subject, adapter_as_subject, subject_of
from marketplace.evaluations.suites import examples_suite, parents_suite, probe_suite
from marketplace.evaluations.verdicts import effect_of, metric_of

log = structlog.get_logger(__name__)

_Kind = EvaluationSuite.Kind
#: Members of an ensemble, each of which takes a row of the engine.
MAX_VOICES = 8


@dataclass(frozen=True)
class Course:
    """What an adapter is run on by itself; ``beside`` are a merge's parents, each alone and all as an ensemble."""

    subject: Subject
    suites: tuple[EvaluationSuite, ...]
    beside: tuple[Subject, ...]

    @property
    def digest(self) -> str:
        table = [
            self.subject.digest,
            self.subject.base.pk,
            self.subject.prompt_format.model_dump(mode="json"),
            sorted(str(suite.pk) for suite in self.suites),
            [other.digest for other in self.beside],
        ]
        return hashlib.sha256(json.dumps(table, sort_keys=True).encode()).hexdigest()


def evaluable(adapters: QuerySet[Adapter]) -> QuerySet[Adapter]:
    """Those that can be run: accepted, in order, offered, on a base that is served."""
    return adapters.filter(
        deleted_at=None,
        moderation=Adapter.Moderation.VISIBLE,
        current__artifact__state=Artifact.State.VALID,
        current__yanked_at=None,
        base__state=Base.State.READY,
        base__served=True,
    ).select_related("owner", "base", "current__artifact")


def why_not_run(adapter: Adapter) -> str:
    """Why no text comes out of it here, as a sentence; empty when some does."""
    if adapter.current is None or adapter.current.artifact.state != Artifact.State.VALID:
        return "It is not accepted yet."
    if adapter.base is None:
        return "Its base is unknown here, so nothing runs it."
    if not adapter.base.generates:
        return f"Its base {adapter.base.name} is not served at present."
    summary = adapter.current.artifact.summary
    reason = why_not_generated(summary.get("task_type", ""), summary.get("features", []))
    return f"No text comes out of it: {reason}." if reason else ""


def evaluate_adapter(adapter: Adapter, *, again: bool = False) -> list[EvaluationRun]:
    """Run an adapter on what every adapter is run on, as its owner's job; nothing where nothing has changed, unless
    ``again``. Raises what ``request_evaluation`` raises."""
    with transaction.atomic():
        row = evaluable(Adapter.objects.select_for_update(of=("self",), no_key=True)).filter(pk=adapter.pk).first()
        if row is None:
            return []
        standing, _ = Standing.objects.update_or_create(adapter=row, defaults={"updated_at": timezone.now()})
        if why_not_run(row):
            return []
        course = course_of(row)
        if standing.digest == course.digest and not again:
            return []
        standing.digest = course.digest
        standing.save(update_fields=["digest"])
        standing.suites.set(course.suites)
        found = _request(row, course, again) if course.suites else []
        refresh_standing(standing)
    return found


def _request(adapter: Adapter, course: Course, again: bool) -> list[EvaluationRun]:
    return request_evaluation(
        user=adapter.owner, subject=course.subject, suites=course.suites, beside=course.beside, again=again
    )


def course_of(adapter: Adapter) -> Course:
    """Its own examples, a merge's parents' examples, its base's probes. Call inside a transaction."""
    assert adapter.base is not None
    parents = parents_of(adapter)
    suites = [
        examples_suite(adapter),
        parents_suite(adapter, [member.adapter for member in parents]),
        probe_suite(adapter.base),
    ]
    beside = [subject_of([member], adapter.base) for member in parents[: MAX_COMPOSITIONS - 3]]
    if 2 <= len(parents) <= MAX_VOICES:
        # Nobody merges their weights better than they answer together: the bracket for what a merge may reach.
        beside.append(replace(subject_of(parents, adapter.base), ensemble=True))
    return Course(
        subject=adapter_as_subject(adapter, adapter.base),
        suites=tuple(suite for suite in suites if suite is not None),
        beside=tuple(beside),
    )


def parents_of(adapter: Adapter) -> list[Member]:
    """What a merge was made from, as far as its owner may still use it, each at full weight."""
    if adapter.origin != Adapter.Origin.MERGE:
        return []
    edges = Lineage.objects.filter(child=adapter.current).select_related(
        "parent__artifact", "parent__adapter__owner", "parent__adapter__base", "parent__adapter__current__artifact"
    )
    found = {edge.parent.pk: edge.parent for edge in edges.order_by("position")}
    return [
        Member(version.adapter, version, 1.0)
        for version in found.values()
        if version.adapter.base_id == adapter.base_id
        and policy.may(adapter.owner, policy.Action.USE, version.adapter, version=version)
    ]


def evaluate_by_itself(adapter: Adapter) -> None:
    """After an adapter was accepted or changed. What stands in the way is for the adapter's page to say."""
    if not settings.EVALUATE_UPLOADS:
        return
    try:
        evaluate_adapter(adapter)
    except AppError as error:
        # Looked at, so that the next look is at others.
        Standing.objects.update_or_create(adapter=adapter, defaults={"updated_at": timezone.now()})
        log.info("not_evaluated", adapter=adapter.pk, code=error.code, why=error.message)


def refresh_standings(runs: Iterable[EvaluationRun]) -> None:
    """Of every adapter that one of the measured runs speaks of."""
    wanted = Q(pk__in=[])
    for run in runs:
        if run.artifact_id is not None:
            wanted |= Q(suites=run.suite_id, adapter__current__artifact=run.artifact_id)
    rows = Standing.objects.filter(pk__in=Standing.objects.filter(wanted).values("pk"))
    for standing in rows.select_for_update(of=("self",)).select_related("adapter__current").order_by("pk"):
        refresh_standing(standing)


def refresh_standing(standing: Standing) -> None:
    """Write what the newest measured runs amount to."""
    newest = current_runs(standing)
    judged = next((run for run in newest if not run.suite.probe and run.difference), None)
    probe = next((run for run in newest if run.suite.probe), None)
    standing.verdict = effect_of(judged)
    standing.gain = None if judged is None else float(judged.difference[metric_of(judged)]["value"])
    standing.forgets = effect_of(probe) == Standing.Verdict.WORSE
    standing.save(update_fields=["verdict", "gain", "forgets"])


def current_runs(standing: Standing) -> list[EvaluationRun]:
    """The newest measured run of the current version on each of its suites: parents' examples first, for merges, then
    its own, then the probes."""
    current = standing.adapter.current
    if current is None:
        return []
    runs = EvaluationRun.objects.filter(
        state=EvaluationRun.State.MEASURED, artifact=current.artifact_id, suite__in=standing.suites.all()
    ).select_related("suite", "against", "base")
    newest = {run.suite_id: run for run in runs.order_by("finished_at", "pk")}
    order = [_Kind.PARENTS, _Kind.EXAMPLES]
    return sorted(
        newest.values(),
        key=lambda run: order.index(_Kind(run.suite.kind)) if run.suite.kind in order else len(order),
    )


def runs_beside(run: EvaluationRun) -> list[EvaluationRun]:
    """The runs of what it was compared with on its suite, besides the bare base."""
    if not run.differences:
        return []
    others = EvaluationRun.objects.filter(pk__in=list(run.differences)).select_related("suite", "against", "base")
    return sorted(others, key=lambda other: other.label)


def overdue() -> QuerySet[Adapter]:
    """Adapters that changed, or whose base came, without their runs having been asked for."""
    found = evaluable(Adapter.objects.all())
    return found.filter(Q(standing=None) | Q(standing__updated_at__lt=F("updated_at"))).order_by("pk")
