"""Evaluations that somebody asks for, by REST and by pages, or beforehand."""

from __future__ import annotations

import uuid

import structlog

from marketplace import policy
from marketplace.accounts.models import User
from marketplace.adapters.models import Adapter
from marketplace.core.errors import AppError, Conflict
from marketplace.evaluations.hiding import hidden_from
from marketplace.evaluations.models import EvaluationRun, EvaluationSuite
from marketplace.evaluations.selectors import get_suite
from marketplace.evaluations.services import request_evaluation
from marketplace.evaluations.standing import evaluate_adapter, why_not_run
from marketplace.evaluations.subjects import adapter_as_subject

log = structlog.get_logger(__name__)


def ask_for_evaluation(
    *, user: User, adapter: Adapter, suite_id: uuid.UUID | str | None = None, again: bool = False
) -> list[EvaluationRun]:
    """Run ``adapter`` on a suite that ``user`` chose, as their job; or, for those who may change it, on what every
    adapter is run on, as its owner's.

    Raises what the policy raises, ``NotFound`` for a suite out of sight, ``Conflict`` (``not_run``) where nothing can
    be run or there is nothing to run it on, and (``hidden``) where its owner keeps the result from ``user``.
    """
    policy.require(user, policy.Action.EDIT if suite_id is None else policy.Action.USE, adapter)
    suite = None if suite_id is None else get_suite(user=user, suite_id=suite_id)
    if reason := why_not_run(adapter):
        raise Conflict(f"{adapter.full_name} cannot be evaluated. {reason}", code="not_run")
    if suite is None:
        found = evaluate_adapter(adapter, again=True)
        if not found:
            raise Conflict(
                f"There is nothing to run {adapter.full_name} on. Give it examples with expected answers.",
                code="not_run",
            )
        return found
    if hidden_from(user, adapter, suite):
        raise Conflict(f"The owner of {adapter.full_name} hides its results on {suite.name}.", code="hidden")
    assert adapter.base is not None
    subject = adapter_as_subject(adapter, adapter.base)
    return request_evaluation(user=user, subject=subject, suites=[suite], again=again, asked=True)


def run_on_suite(*, adapter: int, suite: str) -> bool:
    """Run an adapter on a suite of somebody's as their job, behind what people ask for; False while it cannot be run
    yet. What is gone by now, or not theirs to run, is let be."""
    row = EvaluationSuite.objects.select_related("owner").filter(pk=suite).first()
    chosen = (
        Adapter.objects.select_related("owner", "base", "current__artifact").filter(pk=adapter, deleted_at=None).first()
    )
    if row is None or row.owner is None or chosen is None:
        return True
    if why_not_run(chosen) or chosen.base is None:
        return False
    try:
        request_evaluation(user=row.owner, subject=adapter_as_subject(chosen, chosen.base), suites=[row], asked=False)
    except AppError as error:
        log.info("not_run_on_suite", adapter=adapter, suite=suite, code=error.code, why=error.message)
    return True
