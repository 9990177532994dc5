"""What every adapter is run on by itself, and when."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import timedelta

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import F, Q, QuerySet, TextField, Value
from django.db.models.functions import Concat
from django.utils import timezone

from inference_worker.contracts.adapter_uses import why_not_generated
from inference_worker.contracts.evaluate import ENGINE_VERSION
from marketplace import policy
from marketplace.adapters.models import Adapter, Artifact, Lineage
from marketplace.bases.models import Base
from marketplace.compositions.members import Member
from marketplace.core.errors import AppError
from marketplace.evaluations.current import refresh_standing
from marketplace.evaluations.models import EvaluationRun, EvaluationSuite, Standing
from marketplace.evaluations.services import MAX_COMPOSITIONS, request_evaluation
from marketplace.evaluations.subjects import Subject, adapter_as_subject, subject_of
from marketplace.evaluations.suites import examples_suite, parents_suite, probe_suite

log = structlog.get_logger(__name__)

#: Members of an ensemble, each of which takes a row of the engine.
MAX_VOICES = 8
#: Before the second, third and fourth try of what failed.
PAUSES = (timedelta(minutes=15), timedelta(hours=2), timedelta(hours=12))


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
            ran_on(self.subject.base),
            self.subject.prompt_format.model_dump(mode="json"),
            sorted(str(suite.pk) for suite in self.suites),
            [other.digest for other in self.beside],
        ]
        return hashlib.sha256(json.dumps(table, sort_keys=True).encode()).hexdigest()


def ran_on(base: Base) -> str:
    """What else numbers depend on, besides what is run; ``overdue`` says the same in SQL."""
    return f"{base.source}@{base.revision}@{ENGINE_VERSION}"


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
        standing = _looked_at(row)
        if why_not_run(row):
            return []
        course = course_of(row)
        if standing.digest == course.digest and not again:
            return []
        standing.digest = course.digest
        standing.suites.set(course.suites)
        found = _request(row, course, again) if course.suites else []
        standing.keys = {str(run.suite_id): run.key for run in found}
        standing.save(update_fields=["digest", "keys"])
        if course.suites:
            _request_before(row, course)
        refresh_standing(standing)
    return found


def _request(adapter: Adapter, course: Course, again: bool) -> list[EvaluationRun]:
    return request_evaluation(
        user=adapter.owner, subject=course.subject, suites=course.suites, beside=course.beside, again=again
    )


def _request_before(adapter: Adapter, course: Course) -> None:
    """Run the version with other bytes before the current one on the same, so that the two can be compared: it may have
    been replaced before it was measured, or on other examples. What keeps it from being run is not this one's fault."""
    assert adapter.base is not None
    assert adapter.current is not None
    rows = adapter.versions.filter(artifact__state=Artifact.State.VALID, yanked_at=None)
    older = rows.filter(created_at__lt=adapter.current.created_at).exclude(artifact=adapter.current.artifact_id)
    before = older.select_related("artifact").order_by("-created_at", "-pk").first()
    if before is None:
        return
    subject = adapter_as_subject(adapter, adapter.base, before)
    try:
        # A savepoint: what a refusal left half done is taken back.
        with transaction.atomic():
            request_evaluation(user=adapter.owner, subject=subject, suites=course.suites, asked=False)
    except AppError as error:
        log.info("version_not_evaluated", version=before.pk, code=error.code, why=error.message)


def course_of(adapter: Adapter) -> Course:
    """Its own examples, a merge's parents' examples, its base's probes. Call inside a transaction."""
    assert adapter.base is not None
    parents = parents_of(adapter)
    suites = [
        examples_suite(adapter),
        parents_suite(adapter, parents),
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
        row = evaluable(Adapter.objects.filter(pk=adapter.pk)).first()
        if row is not None:
            try_later([_looked_at(row)])
        log.info("not_evaluated", adapter=adapter.pk, code=error.code, why=error.message)


def _looked_at(adapter: Adapter) -> Standing:
    """Its row, marked as looked at now; what has changed since the last look begins to be tried anew."""
    row, _ = Standing.objects.get_or_create(adapter=adapter)
    on = "" if adapter.base is None else ran_on(adapter.base)
    if row.updated_at < adapter.updated_at or row.ran_on != on:
        row.tries = 0
    row.updated_at, row.ran_on, row.again_at = timezone.now(), on, None
    row.save(update_fields=["updated_at", "ran_on", "again_at", "tries"])
    return row


def try_later(standings: Iterable[Standing]) -> None:
    """After a failure: again by itself, a few times with growing pauses, then when something changes."""
    for row in standings:
        pause = PAUSES[row.tries] if row.tries < len(PAUSES) else None
        row.again_at = None if pause is None else timezone.now() + pause
        row.tries, row.digest = min(row.tries + 1, len(PAUSES)), ""
        row.save(update_fields=["tries", "again_at", "digest"])


def overdue() -> QuerySet[Adapter]:
    """Adapters that changed, or whose base came or changed, without their runs having been asked for; and those that
    are to be tried again."""
    on = Concat("base__source", Value("@"), "base__revision", Value(f"@{ENGINE_VERSION}"), output_field=TextField())
    found = evaluable(Adapter.objects.all())
    changed = Q(standing=None) | Q(standing__updated_at__lt=F("updated_at")) | ~Q(standing__ran_on=on)
    return found.filter(changed | Q(standing__again_at__lte=timezone.now())).order_by("pk")
