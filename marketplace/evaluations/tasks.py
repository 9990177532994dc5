"""What the marketplace worker does for evaluations, by beat."""

from __future__ import annotations

from celery import shared_task
from django.conf import settings

from marketplace.evaluations.inherited import settle_merges
from marketplace.evaluations.retention import prune_runs
from marketplace.evaluations.standing import evaluate_by_itself, overdue

_AT_ONCE = 50


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
