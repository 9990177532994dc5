"""Evaluations: settle what is run on what, find what was measured before, write a closed plan, enqueue it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.db import transaction

from inference_worker.contracts.common import BaseFiles, PromptFormat
from inference_worker.contracts.evaluate import (
    ENGINE_VERSION,
    EvaluateRequest,
    EvaluationSettings,
    KnownEvaluation,
    SuiteFiles,
)
from marketplace import policy
from marketplace.accounts.models import User
from marketplace.compositions.members import check_generating
from marketplace.core.errors import Conflict, Invalid, NotAuthenticated, NotFound
from marketplace.evaluations.models import EvaluationRun, EvaluationSuite
from marketplace.evaluations.subjects import Subject, bare
from marketplace.jobs import services as jobs
from marketplace.jobs.models import Job
from marketplace.moderation import audit

KIND = "evaluate"
#: Suites, and compositions with the bare base, that one job takes.
MAX_SUITES = MAX_COMPOSITIONS = 16

_Run = EvaluationRun
_State = EvaluationRun.State


def request_evaluation(
    *,
    user: User,
    subject: Subject,
    suites: Sequence[EvaluationSuite],
    beside: Sequence[Subject] = (),
    again: bool = False,
    options: EvaluationSettings | None = None,
    asked: bool | None = None,
) -> list[EvaluationRun]:
    """Run ``subject`` on each of ``suites``, always beside its bare base; its runs, in the order of the suites.

    What was measured before of the same bytes, suite, options and prompt format is returned as it is, unless
    ``again``, which measures what it is compared with anew, too: what a base answered before its files were exchanged
    in place is no measure of what runs on it now. What is waiting is waited for. ``beside`` are others on the same
    base that it is compared with example by example, in its prompt format: a merge's parents. Raises what the policy
    raises, ``Conflict`` for a base that is not served, ``Invalid`` for members that no text comes out of.

    ``asked`` says that a person did it just now, as ``again`` does where nothing is said: such jobs are counted, and
    ``TooManyRequests`` refuses more of them than ``JOBS_OPEN_PER_PERSON``. What runs by itself is not counted; where
    it waits and somebody asks for it, it is moved up and counts as theirs.
    """
    options, asked = options or EvaluationSettings(), again if asked is None else asked
    _check(user, [subject, *beside], suites)
    # A parent with the very bytes of the subject is no other one.
    others = [other for other in beside if other.digest != subject.digest]
    plan = _Plan(subject, (bare(subject.base, subject.prompt_format), *others, subject), options)
    found: list[EvaluationRun] = []
    rows: list[tuple[EvaluationSuite, list[EvaluationRun]]] = []
    with transaction.atomic():
        for suite in suites:
            run, wanted = _run_of(plan, subject, suite, user, again)
            found.append(run)
            if wanted:
                before = [_run_of(plan, other, suite, user, again)[0] for other in plan.compositions[:-1]]
                rows.append((suite, [*before, run]))
        if rows:
            _enqueue(user, plan, rows, again=again, asked=asked)
        if asked:
            _hurry(user, found)
    return found


def _hurry(user: User, runs: Iterable[EvaluationRun]) -> None:
    """What waits as nobody's request is this one's now."""
    for job in Job.objects.filter(runs__in=[run.pk for run in runs], state=Job.State.QUEUED).distinct().order_by("pk"):
        jobs.hurry_job(user=user, job=job)


@dataclass(frozen=True)
class _Plan:
    """``compositions`` begin with the bare base and end with the subject."""

    subject: Subject
    compositions: tuple[Subject, ...]
    options: EvaluationSettings

    def prompt_format(self, suite: EvaluationSuite) -> PromptFormat:
        """The subject's own, for all that it is compared with, too: what differs then is the weights' doing alone."""
        return PromptFormat.model_validate(suite.prompt_format) if suite.prompt_format else self.subject.prompt_format

    def key(self, subject: Subject, suite: EvaluationSuite) -> str:
        base = subject.base
        table = [
            ENGINE_VERSION,
            subject.digest,
            [base.pk, base.source, base.revision],
            str(suite.pk),
            self.options.model_dump(mode="json"),
            self.prompt_format(suite).model_dump(mode="json"),
        ]
        return hashlib.sha256(json.dumps(table, sort_keys=True).encode()).hexdigest()


def run_key(subject: Subject, suite: EvaluationSuite) -> str:
    """The key of what ``request_evaluation`` measures of it now, with the settings that it has by itself."""
    return _Plan(subject, (subject,), EvaluationSettings()).key(subject, suite)


def _check(user: User, subjects: Sequence[Subject], suites: Sequence[EvaluationSuite]) -> None:
    if not user.is_authenticated:
        raise NotAuthenticated("Sign in to evaluate adapters.")
    if not suites or len(suites) > MAX_SUITES or len(subjects) >= MAX_COMPOSITIONS:
        raise Invalid(f"Choose between 1 and {MAX_SUITES} suites and at most {MAX_COMPOSITIONS - 1} compositions.")
    base = subjects[0].base
    if any(subject.base != base for subject in subjects):
        raise Invalid("What is compared on one suite needs one base.")
    if not base.generates:
        raise Conflict(f"The base {base.name} is not served at present; nothing runs on it.", code="not_served")
    for subject in subjects:
        for member in subject.members:
            current = member.version.pk == member.adapter.current_id
            policy.require(user, policy.Action.USE, member.adapter, version=None if current else member.version)
        check_generating(subject.members)
    for suite in suites:
        if not policy.may_use_suite(user, suite):
            raise NotFound("There is no such suite, or it is not yours.")
        if suite.base_id is not None and suite.base_id != base.pk:
            raise Invalid(f"The suite {suite.name} is meant for another base than {base.name}.")


def _run_of(
    plan: _Plan, subject: Subject, suite: EvaluationSuite, user: User, again: bool
) -> tuple[EvaluationRun, bool]:
    """The run of ``subject`` on ``suite``: measured before, waiting, or new; and whether it is to be made now."""
    key = plan.key(subject, suite)
    if not again and (known := _Run.objects.filter(key=key, state=_State.MEASURED).order_by("-finished_at").first()):
        return known, False
    run, created = _Run.objects.get_or_create(
        key=key,
        state=_State.WAITING,
        defaults={
            "subject": subject.rows(),
            "subject_digest": subject.digest,
            "artifact": subject.artifact,
            "base": subject.base,
            "suite": suite,
            "options": plan.options.model_dump(mode="json"),
            "prompt_format": plan.prompt_format(suite).model_dump(mode="json"),
            "requested_by": user,
        },
    )
    if created:
        # What could not be made is of no interest once it is tried again.
        _Run.objects.filter(key=key, state=_State.FAILED).delete()
    return run, created


def _enqueue(
    user: User, plan: _Plan, rows: Sequence[tuple[EvaluationSuite, list[EvaluationRun]]], *, again: bool, asked: bool
) -> Job:
    if asked:
        jobs.check_open(user, KIND)
    base, last = plan.subject.base, len(plan.compositions) - 1
    request = EvaluateRequest(
        base=BaseFiles(name=base.name, source=base.source, revision=base.revision or None),
        compositions=tuple(subject.weighted() for subject in plan.compositions),
        suites=tuple(_files(suite, plan.prompt_format(suite)) for suite, _ in rows),
        settings=plan.options,
        known=tuple(_known(rows)),
        ensembles=tuple(place for place, subject in enumerate(plan.compositions) if subject.ensemble),
        anew=again,
        compare=(*((0, place) for place in range(1, last + 1)), *((place, last) for place in range(1, last))),
    )
    versions = sorted({m.version.pk for subject in plan.compositions for m in subject.members})
    job = jobs.create_job(
        owner=user,
        kind=KIND,
        request=request,
        subject={
            "runs": [[str(run.pk) for run in runs] for _, runs in rows],
            "versions": versions,
            "asked": asked,
            "adapter": plan.subject.members[0].adapter.pk if plan.subject.artifact is not None else None,
        },
        title=f"Evaluation of {plan.subject.label} on {', '.join(suite.name for suite, _ in rows)}",
    )
    waiting = [run.pk for _, runs in rows for run in runs if run.job_id is None and run.state == _State.WAITING]
    _Run.objects.filter(pk__in=waiting).update(job=job)
    for _, runs in rows:
        runs[-1].job = job
    audit.record(
        actor=user,
        action="evaluation.request",
        target=plan.subject.label,
        job=str(job.pk),
        suites=[suite.name for suite, _ in rows],
    )
    return job


def _known(rows: Sequence[tuple[EvaluationSuite, list[EvaluationRun]]]) -> Iterable[KnownEvaluation]:
    for number, (_, runs) in enumerate(rows):
        for place, run in enumerate(runs):
            if run.state == _State.MEASURED and run.outcomes:
                yield KnownEvaluation(suite=number, composition=place, outcomes=run.outcomes, position=run.position)


def _files(suite: EvaluationSuite, prompt_format: PromptFormat) -> SuiteFiles:
    if suite.builtin:
        return SuiteFiles(name=suite.name, builtin=suite.builtin, count=suite.count, prompt_format=prompt_format)
    return SuiteFiles(name=suite.name, examples=suite.sha256, prompt_format=prompt_format)
