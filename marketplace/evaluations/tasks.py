"""What the marketplace worker does for evaluations, by beat."""

from __future__ import annotations

from celery import Task, shared_task
from celery.exceptions import MaxRetriesExceededError
from django.conf import settings

from marketplace.evaluations.asking import run_on_suite
from marketplace.evaluations.inherited import settle_merges
from marketplace.evaluations.retention import prune_runs
from marketplace.evaluations.standing import evaluate_by_itself, overdue

_AT_ONCE = 50
#: Seconds between looks at an adapter that cannot be run yet, and how many looks there are: an hour's.
_LOOK_AGAIN, _LOOKS = 30.0, 120


@shared_task(name="marketplace.evaluate_overdue")
def evaluate_overdue() -> int:
    """Ask for the runs of adapters that changed without anybody having asked; how many were looked at.

    Merges let go of parents' examples that are no longer theirs to use. A commit after which the database went away, or
    a base that came after its adapters, would otherwise leave an adapter that nothing is known of.
    """
    settle_merges()
    if not settings.EVALUATE_UPLOADS:
        return 0
    found = list(overdue()[:_AT_ONCE])
    for adapter in found:
        evaluate_by_itself(adapter)
    return len(found)


@shared_task(name="marketplace.prune_evaluations")
def prune_evaluations() -> int:
    """Delete runs that newer ones have superseded and that no page shows; how many."""
    return prune_runs().runs


@shared_task(
    name="marketplace.evaluate_when_ready",
    bind=True,
    default_retry_delay=_LOOK_AGAIN,
    max_retries=_LOOKS,
    throws=(MaxRetriesExceededError,),
)
def evaluate_when_ready(self: Task, adapter: int, suite: str) -> None:
    """Run an adapter on somebody's suite as soon as it is accepted and its base is served: for what seeds a site, whose
    adapters have not been checked yet. Nothing is run where nothing runs by itself."""
    if settings.EVALUATE_UPLOADS and not run_on_suite(adapter=adapter, suite=suite):
        raise self.retry()
