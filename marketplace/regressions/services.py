"""Watching adapters and mixes: who wants what evaluated how often, and each check from its request to what came out."""

from __future__ import annotations

from datetime import timedelta

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from inference_worker.contracts.evaluate import ENGINE_VERSION
from marketplace import policy
from marketplace.accounts.models import User
from marketplace.adapters.models import Adapter
from marketplace.bases.models import Base
from marketplace.compositions.mix_runs import suites_of_mix
from marketplace.compositions.models import Composition
from marketplace.core.errors import AppError, Conflict, Forbidden, Invalid, NotAuthenticated
from marketplace.evaluations.models import EvaluationRun, EvaluationSuite
from marketplace.evaluations.services import request_evaluation
from marketplace.evaluations.subjects import Subject
from marketplace.evaluations.suites import examples_suite, probe_suite
from marketplace.moderation import audit
from marketplace.notifications.models import Kind
from marketplace.notifications.services import notify
from marketplace.regressions.models import Check, Watch
from marketplace.regressions.selectors import subject_for

logger = structlog.get_logger(__name__)

_PERIODS = {Watch.Every.DAILY: timedelta(days=1), Watch.Every.WEEKLY: timedelta(days=7)}
#: Checks that one tick of the clock starts at most.
AT_ONCE = 20


def engine() -> str:
    """What computes: this release, and the count of changes to what evaluations find."""
    return f"{settings.VERSION}/{ENGINE_VERSION}"


def watch(*, user: User, subject: Adapter | Composition, every: str) -> Watch:
    """Have ``subject`` evaluated regularly, the first time soon; watching it already changes how often.

    Raises ``NotAuthenticated``, ``Invalid`` (how often), ``Conflict`` (too many), ``Forbidden`` and ``NotFound`` for
    what the person may not use.
    """
    if not policy.is_known(user):
        raise NotAuthenticated("Sign in to have something evaluated regularly.")
    if every not in Watch.Every.values:
        sentence = f"Choose {' or '.join(Watch.Every.values)}."
        raise Invalid(sentence, extra={"fields": {"every": [sentence]}})
    subject_for(user, subject)
    named = {"adapter": subject} if isinstance(subject, Adapter) else {"mix": subject}
    with transaction.atomic():
        User.objects.select_for_update(no_key=True).get(pk=user.pk)
        row = Watch.objects.filter(owner=user, **named).first()
        if row is None or row.stopped_at is not None:
            if Watch.objects.filter(owner=user, stopped_at=None).count() >= settings.REGRESSION_MAX_WATCHES:
                raise Conflict(
                    f"You watch {settings.REGRESSION_MAX_WATCHES} things already. Stop watching one first.",
                    code="too_many_watches",
                )
            row = row or Watch(owner=user, **named)
        elif every != row.every:
            # Never sooner than what was asked for now allows, and never later.
            row.next_at = min(row.next_at, timezone.now() + _PERIODS[Watch.Every(every)])
        row.every, row.label, row.stopped_at = every, subject.full_name, None
        row.save()
        audit.record(actor=user, action="watch.set", target=row.label, every=every)
    return row


def unwatch(*, user: User, row: Watch) -> None:
    """Stop. What was measured stays with the adapter. The row goes when its next time has come: whoever starts again
    before waits for that time."""
    if not policy.owns(user, row):
        raise Forbidden("This is not your list.")
    with transaction.atomic():
        audit.record(actor=user, action="watch.end", target=row.label)
        if row.is_due:
            row.delete()
            return
        row.stopped_at = timezone.now()
        row.save(update_fields=["stopped_at"])


def due() -> QuerySet[Watch]:
    """Whose time has come, or whose base or engine is another one than at the last check; the longest overdue first.

    What is being checked still is not checked again meanwhile, what could not be run waits for its next time whatever
    has changed, and nothing is computed for people who are leaving.
    """
    moved = ~Q(seen_source=F("base__source")) | ~Q(seen_revision=F("base__revision"))
    ready = Q(base=None) | Q(base__state=Base.State.READY)
    changed = Q(base__isnull=False, fault="") & (moved | ~Q(seen_engine=engine()))
    rows = Watch.objects.filter(Q(next_at__lte=timezone.now()) | changed, ready)
    rows = rows.filter(stopped_at=None, owner__is_active=True, owner__closing_at=None)
    waiting = Check.objects.filter(outcome=Check.Outcome.WAITING).values("watch")
    return rows.exclude(pk__in=waiting).order_by("next_at", "pk")


def start_due() -> int:
    """Start what is due, and forget what was stopped until then; how many checks were asked for."""
    Watch.objects.filter(stopped_at__isnull=False, next_at__lte=timezone.now()).delete()
    keys = list(due().values_list("pk", flat=True)[:AT_ONCE])
    return sum(start_check(key) for key in keys)


def start_check(key: int) -> bool:
    """Ask for the runs of one watch, anew whatever was measured before; whether there was something to run.

    The result is not looked up: a base whose files were exchanged in place, or another build of a library below the
    engine, changes no key, and is what a check is for.
    """
    with transaction.atomic():
        rows = Watch.objects.select_for_update(of=("self",), skip_locked=True)
        row = rows.select_related("owner").filter(pk=key).first()
        if row is None:
            return False
        row.next_at = timezone.now() + _PERIODS[Watch.Every(row.every)]
        try:
            # A savepoint: what the refusal left half done is taken back, that it was refused is kept.
            with transaction.atomic():
                subject = subject_for(row.owner, row.subject)
                runs = _request(row, subject)
        except AppError as error:
            _refused(row, error)
            return False
        reason = _reason(row, subject.base)
        row.fault, row.label = "", row.subject.full_name
        row.base, row.seen_engine = subject.base, engine()
        row.seen_source, row.seen_revision = subject.base.source, subject.base.revision
        row.save()
        for run in runs:
            Check.objects.create(
                watch=row,
                suite=run.suite,
                run=run,
                before=_before(row, run),
                reference=_reference(row, run),
                reason=reason,
            )
    return bool(runs)


def _request(row: Watch, subject: Subject) -> list[EvaluationRun]:
    suites = [suite for suite in _suites(row, subject) if policy.may_use_suite(row.owner, suite)]
    if not suites:
        return []
    return request_evaluation(user=row.owner, subject=subject, suites=suites, again=True, asked=False)


def _suites(row: Watch, subject: Subject) -> list[EvaluationSuite]:
    if row.mix is not None:
        return suites_of_mix(row.owner, subject)
    assert row.adapter is not None
    found = [examples_suite(row.adapter), probe_suite(subject.base)]
    return [suite for suite in found if suite is not None]


def _reason(row: Watch, base: Base) -> str:
    if not row.seen_engine:
        return Check.Reason.FIRST
    if (row.seen_source, row.seen_revision) != (base.source, base.revision):
        return Check.Reason.BASE
    return Check.Reason.SCHEDULE if row.seen_engine == engine() else Check.Reason.ENGINE


def _before(row: Watch, run: EvaluationRun) -> EvaluationRun | None:
    """The last measured run on the suite that this watch asked for."""
    checks = Check.objects.filter(watch=row, suite=run.suite, run__state=EvaluationRun.State.MEASURED)
    last = checks.exclude(run=run).select_related("run").order_by("-created_at", "-pk").first()
    return None if last is None else last.run


def _reference(row: Watch, run: EvaluationRun) -> EvaluationRun | None:
    """The run last taken as the reference on the suite, else the first one measured."""
    checks = Check.objects.filter(watch=row, suite=run.suite, run__state=EvaluationRun.State.MEASURED)
    order = (F("taken_at").desc(nulls_last=True), "created_at", "pk")
    first = checks.exclude(run=run).select_related("run").order_by(*order).first()
    return None if first is None else first.run


def take_reference(*, user: User, row: Watch) -> None:
    """Hold later checks against the newest result on each suite: the change is known and meant. Raises ``Forbidden``,
    and ``Conflict`` while there is no result."""
    if not policy.owns(user, row):
        raise Forbidden("This is not your list.")
    with transaction.atomic():
        measured = Check.objects.filter(watch=row, run__state=EvaluationRun.State.MEASURED)
        newest = measured.order_by("suite_id", "-created_at", "-pk").distinct("suite_id").values_list("pk", flat=True)
        if not (taken := list(newest)):
            raise Conflict("There is no result yet.", code="no_result")
        Check.objects.filter(pk__in=taken).update(taken_at=timezone.now())
        audit.record(actor=user, action="watch.reference", target=row.label, checks=taken)


def _refused(row: Watch, error: AppError) -> None:
    """What is watched cannot be run: said once, and tried again at the next time."""
    if row.fault != error.message:
        notify(
            user=row.owner,
            kind=Kind.REGRESSION,
            title=f"{row.label} could not be evaluated",
            text=error.message,
            address=f"/watches/{row.pk}",
        )
    row.fault = error.message
    row.save(update_fields=["fault", "next_at"])
    logger.info("watch_refused", watch=row.pk, code=error.code)
