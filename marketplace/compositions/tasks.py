"""What the marketplace worker does for mixes, by beat."""

from __future__ import annotations

from celery import shared_task

from marketplace.compositions import mix_runs


@shared_task(name="marketplace.evaluate_mixes")
def evaluate_mixes() -> int:
    """Evaluate mixes that are something else than they were."""
    return mix_runs.evaluate_changed()
