"""Suites that people upload."""

from __future__ import annotations

from django.conf import settings
from django.db import transaction

from marketplace import policy
from marketplace.accounts.models import User
from marketplace.bases.models import Base
from marketplace.core.errors import Conflict, Forbidden, Invalid, NotAuthenticated, NotFound
from marketplace.evaluations.forgetting import forget_suites
from marketplace.evaluations.lines import read_lines
from marketplace.evaluations.models import EvaluationRun, EvaluationSuite
from marketplace.evaluations.suites import store_lines
from marketplace.jobs.models import Job
from marketplace.jobs.services import cancel_job
from marketplace.moderation import audit

_Kind, _Visibility = EvaluationSuite.Kind, EvaluationSuite.Visibility
_MAX_NAME = 100


def create_suite(
    *, user: User, name: str, lines: str, visibility: str = _Visibility.PRIVATE, base: Base | None = None
) -> EvaluationSuite:
    """A suite of ``lines`` (JSON lines), meant for adapters of ``base`` or of any.

    Raises ``Invalid`` naming fields and lines at fault, ``Conflict`` when the user has as many suites as they may.
    """
    if not user.is_authenticated:
        raise NotAuthenticated("Sign in to upload a suite.")
    name = _checked_name(name)
    _check_visibility(visibility)
    _check_size(len(lines.encode(errors="replace")))
    examples = read_lines(lines, most=settings.SUITE_MAX_EXAMPLES)
    with transaction.atomic():
        # One after the other, so that the number of suites holds.
        User.objects.select_for_update(no_key=True).get(pk=user.pk)
        if EvaluationSuite.objects.filter(owner=user).count() >= settings.SUITES_PER_PERSON:
            raise Conflict(
                f"You have {settings.SUITES_PER_PERSON} suites, as many as one person may have. Delete one first.",
                code="too_many_suites",
            )
        suite = EvaluationSuite.objects.create(
            kind=_Kind.OWN,
            owner=user,
            name=name,
            visibility=visibility,
            base=base,
            count=len(examples),
            sha256=store_lines(example.dumped() for example in examples),
        )
        audit.record(
            actor=user,
            action="suite.create",
            target=name,
            suite=str(suite.pk),
            count=suite.count,
            visibility=visibility,
        )
    return suite


def text_of(data: bytes) -> str:
    """The text of an uploaded file, for ``create_suite``. Raises ``Invalid`` that names the first line and byte that is
    not UTF-8: with another character in its place, answers would be compared with what nobody wrote."""
    _check_size(len(data))
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as fault:
        line = data.count(b"\n", 0, fault.start) + 1
        place = fault.start - data.rfind(b"\n", 0, fault.start)
        sentence = (
            f"The file is not UTF-8 text: in line {line:,}, byte {place:,} (0x{data[fault.start]:02X}) is part of no "
            "character. Save it as UTF-8 and upload it again."
        )
        raise Invalid(sentence, code="suite_not_utf8", extra={"fields": {"lines": [sentence]}}) from fault


def _check_size(size: int) -> None:
    if size > settings.SUITE_MAX_BYTES:
        sentence = f"The examples have {size:,} bytes; a suite may have {settings.SUITE_MAX_BYTES:,}."
        raise Invalid(sentence, code="suite_too_large", extra={"fields": {"lines": [sentence]}})


def edit_suite(
    *, user: User, suite: EvaluationSuite, name: str | None = None, visibility: str | None = None
) -> EvaluationSuite:
    """Another name or visibility; examples never change. Who made a suite private again shows its results to nobody
    else."""
    with transaction.atomic():
        row = _locked(user, suite)
        if name is not None:
            row.name = _checked_name(name)
        if visibility is not None:
            _check_visibility(visibility)
            row.visibility = visibility
        row.save(update_fields=["name", "visibility"])
        audit.record(actor=user, action="suite.edit", target=row.name, suite=str(row.pk), visibility=row.visibility)
    return row


def delete_suite(*, user: User, suite: EvaluationSuite) -> None:
    """The suite with everything that was measured on it; the owner's own jobs on it end."""
    with transaction.atomic():
        row = _locked(user, suite)
        waiting = EvaluationRun.objects.filter(suite=row, state=EvaluationRun.State.WAITING).values("job")
        for job in Job.objects.filter(policy.owned_by(user), pk__in=waiting).exclude(state__in=Job.ENDED):
            cancel_job(user=user, job=job)
        audit.record(actor=user, action="suite.delete", target=row.name, suite=str(row.pk))
        forget_suites(EvaluationSuite.objects.filter(pk=row.pk))


def _locked(user: User, suite: EvaluationSuite) -> EvaluationSuite:
    """The row, locked, for its owner. Call inside a transaction."""
    row = EvaluationSuite.objects.select_for_update(of=("self",)).filter(pk=suite.pk).first()
    if row is None or not policy.may_see_suite(user, row):
        raise NotFound("There is no such suite, or it is not yours.")
    if not policy.owns(user, row):
        raise Forbidden("Only its owner may change or delete a suite.")
    return row


def _checked_name(name: str) -> str:
    name = " ".join(name.split())
    if not 1 <= len(name) <= _MAX_NAME:
        sentence = f"Give a name of 1 to {_MAX_NAME} characters."
        raise Invalid(sentence, extra={"fields": {"name": [sentence]}})
    return name


def _check_visibility(visibility: str) -> None:
    if visibility not in _Visibility.values:
        sentence = f"Choose one of: {', '.join(_Visibility.values)}."
        raise Invalid(sentence, extra={"fields": {"visibility": [sentence]}})
