"""What the marketplace worker does for watches, by beat."""

from __future__ import annotations

from celery import shared_task

from marketplace.regressions import keeping, services, settling


@shared_task(name="marketplace.check_regressions")
def check_regressions() -> list[int]:
    """Judge what has ended, then start what is due; how many of each."""
    return [settling.settle_ended(), services.start_due()]


@shared_task(name="marketplace.forget_checks")
def forget_checks() -> int:
    """Delete the checks that are neither shown nor needed; how many."""
    return keeping.forget_checks()
