"""What the marketplace worker does for watches, by beat."""

from __future__ import annotations

from celery import shared_task

from marketplace.regressions import services, settling


@shared_task(name="marketplace.check_regressions")
def check_regressions() -> list[int]:
    """Judge what has ended, then start what is due; how many of each."""
    return [settling.settle_ended(), services.start_due()]
