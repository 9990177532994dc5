"""Evaluations of mixes: on the examples of their members, and on the probes of their base."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from marketplace import policy
from marketplace.accounts.models import User
from marketplace.compositions.answering import common_base
from marketplace.compositions.members import resolve_members
from marketplace.compositions.mix_selectors import choices_of
from marketplace.compositions.models import Composition
from marketplace.core.errors import AppError, Conflict
from marketplace.evaluations.models import EvaluationRun, EvaluationSuite, Standing
from marketplace.evaluations.services import request_evaluation, run_key
from marketplace.evaluations.standing import PAUSES
from marketplace.evaluations.subjects import Subject, subject_of
from marketplace.evaluations.suites import examples_suite, probe_suite
from marketplace.evaluations.verdicts import FORGETS_TITLE, METRICS, effect_of, metric_of
from marketplace.jobs.models import Job


@dataclass(frozen=True)
class MixResult:
    """One run, in the metric that says most; ``base`` and ``value`` are estimates, None until it is measured."""

    run: EvaluationRun
    metric: str
    effect: str
    base: dict[str, Any] | None
    value: dict[str, Any] | None
    difference: dict[str, Any] | None

    @property
    def metric_title(self) -> str:
        return METRICS.get(self.metric, "")

    @property
    def words(self) -> str:
        """Of a probe it says whether the mix forgets, of a member's examples whether it helps."""
        if self.run.suite.probe:
            return _OF_PROBES.get(self.effect, Verdict.UNCLEAR.label)
        return Verdict(self.effect).label if self.effect else ""


logger = structlog.get_logger(__name__)
#: Mixes that one tick of the clock looks at.
AT_ONCE = 20
Verdict = Standing.Verdict
_OF_PROBES: dict[str, str] = {
    Verdict.WORSE: FORGETS_TITLE,
    Verdict.NO_EFFECT: "Keeps the probes",
    Verdict.BETTER: "Keeps the probes",
}
_State = EvaluationRun.State


def subject_of_mix(user: policy.Person, mix: Composition) -> Subject:
    """The mix as ``user`` may run it, at the versions that it has now. Raises ``Conflict`` for members that are gone
    and for a base that is no longer here, ``Invalid`` for members that moved to several bases."""
    members = resolve_members(user=user, members=choices_of(user=user, mix=mix))
    base = common_base(members)
    if base is None:
        raise Conflict(f"The base of {mix.full_name} is no longer here.", code="no_base")
    return subject_of(members, base)


def suites_of_mix(user: User, subject: Subject) -> list[EvaluationSuite]:
    """The examples of each member, then the base's probes. Call inside a transaction."""
    found = [examples_suite(member.adapter) for member in subject.members]
    found.append(probe_suite(subject.base))
    return [suite for suite in dict.fromkeys(found) if suite is not None and policy.may_use_suite(user, suite)]


@dataclass(frozen=True)
class Course:
    """What a mix is run on by itself."""

    subject: Subject
    suites: tuple[EvaluationSuite, ...]

    @property
    def keys(self) -> list[str]:
        """Of the runs that measure it as it is now."""
        return sorted(run_key(self.subject, suite) for suite in self.suites)

    @property
    def digest(self) -> str:
        """Of everything that the numbers depend on: members, base and revision, examples, format, engine."""
        return hashlib.sha256(json.dumps(self.keys).encode()).hexdigest()

    @property
    def failed(self) -> bool:
        """Whether one of its runs could not be made, and nobody cancelled it."""
        runs = EvaluationRun.objects.filter(key__in=self.keys)
        done = runs.exclude(state=_State.FAILED).values("key")
        lost = runs.filter(state=_State.FAILED).exclude(key__in=done)
        return lost.exclude(job__state=Job.State.CANCELLED).exists()


def course_of_mix(user: User, mix: Composition) -> Course:
    """Call inside a transaction. Raises what ``subject_of_mix`` raises."""
    subject = subject_of_mix(user, mix)
    return Course(subject, tuple(suites_of_mix(user, subject)))


def evaluate_mix(
    *, user: User, mix: Composition, again: bool = False, asked: bool | None = None
) -> list[EvaluationRun]:
    """Run the mix as a job of ``user``'s; what was measured before of the same bytes and weights is found. ``asked``
    is ``request_evaluation``'s: whether it counts as one of the jobs that a person asked for.

    Raises what ``subject_of_mix`` and ``request_evaluation`` raise.
    """
    with transaction.atomic():
        course = course_of_mix(user, mix)
        if not course.suites:
            return []
        return request_evaluation(user=user, subject=course.subject, suites=course.suites, again=again, asked=asked)


def evaluate_by_itself(mix: Composition) -> None:
    """As its owner's job, once for what it is now, and what failed a few times more. What stands in the way is for its
    page to say."""
    if not settings.EVALUATE_UPLOADS:
        return
    changes: dict[str, Any] = {}
    try:
        # A savepoint: what a refusal left half done is taken back.
        with transaction.atomic():
            course = course_of_mix(mix.owner, mix)
            changes = _next_try(mix, course)
            if "evaluated" in changes and course.suites:
                request_evaluation(user=mix.owner, subject=course.subject, suites=course.suites)
    except AppError as error:
        changes = {}
        logger.info("mix_not_evaluated", mix=mix.full_name, code=error.code, why=error.message)
    Composition.objects.filter(pk=mix.pk).update(**changes, looked_at=timezone.now())


def _next_try(mix: Composition, course: Course) -> dict[str, Any]:
    """What changes in the row; with ``evaluated``, it is to be run now: it has changed, or its pause is over."""
    now, digest = timezone.now(), course.digest
    if digest != mix.evaluated:
        return {"evaluated": digest, "tries": 0, "again_at": None}
    if mix.again_at is not None:
        return {"evaluated": digest, "again_at": None} if mix.again_at <= now else {}
    if mix.tries < len(PAUSES) and course.failed:
        return {"tries": mix.tries + 1, "again_at": now + PAUSES[mix.tries]}
    return {}


def evaluate_changed() -> int:
    """Look at the mixes that nobody has looked at for longest; how many. Members that they follow have new versions or
    examples, or were accepted meanwhile, their base has another revision, or what failed is to be tried again."""
    if not settings.EVALUATE_UPLOADS:
        return 0
    rows = Composition.objects.filter(owner__is_active=True, owner__closing_at=None).select_related("owner", "base")
    found = list(rows.order_by(F("looked_at").asc(nulls_first=True), "pk")[:AT_ONCE])
    for mix in found:
        evaluate_by_itself(mix)
    return len(found)


def runs_of_mix(*, user: policy.Person, mix: Composition) -> list[EvaluationRun]:
    """The run on each suite that measures the mix as it is now, one with numbers before one that waits or failed;
    members' examples first, then probes. None of them where ``user`` cannot use it: numbers of what one may not ask are
    not theirs either."""
    try:
        subject = subject_of_mix(user, mix)
    except AppError:
        return []
    # A mix of one adapter has the adapter's own digest, and whoever has the same bytes has it, too: what they were run
    # on, private suites and private merges' parents among it, is not the mix's.
    members = Q(kind=EvaluationSuite.Kind.EXAMPLES, adapter__in=[member.adapter for member in subject.members])
    seen = EvaluationSuite.objects.filter(members | Q(probe=True, base=subject.base) | policy.visible_suites(user))
    runs = EvaluationRun.objects.filter(subject_digest=subject.digest, base=subject.base, suite__in=seen.values("pk"))
    newest: dict[Any, EvaluationRun] = {}
    for run in runs.select_related("suite", "against", "base").order_by("created_at", "pk"):
        before = newest.get(run.suite_id)
        if run.key != run_key(subject, run.suite):
            continue
        if before is None or run.state == _State.MEASURED or before.state != _State.MEASURED:
            newest[run.suite_id] = run
    return sorted(newest.values(), key=lambda run: (run.suite.probe, run.suite.name))


def results_of(runs: Iterable[EvaluationRun]) -> list[MixResult]:
    return [_result(run) for run in runs]


def _result(run: EvaluationRun) -> MixResult:
    if run.state != _State.MEASURED or run.against is None:
        return MixResult(run, "", "", None, None, None)
    metric = metric_of(run)
    base, value = (row.estimates["overall"].get(metric) for row in (run.against, run))
    return MixResult(run, metric, effect_of(run), base, value, run.difference.get(metric))
