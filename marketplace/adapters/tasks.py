"""What the marketplace worker does for adapters, by beat."""

from __future__ import annotations

from dataclasses import asdict

from celery import shared_task

from marketplace.adapters import garbage


@shared_task(name="marketplace.collect_garbage")
def collect_garbage() -> dict[str, int]:
    """Delete abandoned uploads and bytes that nothing needs any more."""
    return asdict(garbage.collect_garbage())
