"""Checks that are shown or needed, with the runs that they speak of; others are forgotten."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from django.db.models import F, Window
from django.db.models.functions import RowNumber

from marketplace.evaluations.models import EvaluationRun
from marketplace.evaluations.retention import register_run_keeper
from marketplace.regressions.models import Check
from marketplace.regressions.selectors import HISTORY


def needed_checks() -> set[int]:
    """The newest ones of each watch, as its page shows them; those under way; and of each suite the last result and the
    reference, which checks to come are held against."""
    newest = Window(RowNumber(), [F("watch")], [F("created_at").desc(), F("pk").desc()])
    of = [F("watch"), F("suite")]
    last = Window(RowNumber(), of, [F("created_at").desc(), F("pk").desc()])
    reference = Window(RowNumber(), of, [F("taken_at").desc(nulls_last=True), F("created_at"), F("pk")])
    measured = Check.objects.filter(run__state=EvaluationRun.State.MEASURED)
    kept = [
        Check.objects.annotate(rank=newest).filter(rank__lte=HISTORY),
        Check.objects.filter(outcome=Check.Outcome.WAITING),
        measured.annotate(rank=last).filter(rank=1),
        measured.annotate(rank=reference).filter(rank=1),
    ]
    return {key for rows in kept for key in rows.order_by().values_list("pk", flat=True)}


@register_run_keeper
def runs_of_checks() -> Iterable[UUID]:
    """Each needed check's run, the one before it, and its reference."""
    rows = Check.objects.filter(pk__in=needed_checks()).order_by().values_list("run", "before", "reference")
    return {key for row in rows.iterator() for key in row if key is not None}


def forget_checks() -> int:
    """Delete the checks that nobody needs; how many."""
    return Check.objects.exclude(pk__in=needed_checks()).delete()[1].get("regressions.Check", 0)
