"""What the marketplace worker does for mixes and for merges that have ended, by beat."""

from __future__ import annotations

from celery import shared_task

from marketplace.compositions import mix_runs
from marketplace.compositions.lab.job_examples import settle_jobs


@shared_task(name="marketplace.evaluate_mixes")
def evaluate_mixes() -> int:
    """Evaluate mixes that are something else than they were."""
    return mix_runs.evaluate_changed()


@shared_task(name="marketplace.forget_examples")
def forget_examples() -> int:
    """Take examples that their owners may no longer see out of ended merges, previews and sweeps; how many changed."""
    return settle_jobs()
