"""What the marketplace worker does for adapters, by beat."""

from __future__ import annotations

from dataclasses import asdict

from celery import shared_task

from marketplace.adapters import access_mails, garbage, mails
from marketplace.adapters.services import partial_uploads


@shared_task(name="marketplace.collect_garbage")
def collect_garbage() -> dict[str, int]:
    """Delete abandoned uploads and bytes that nothing needs any more."""
    return asdict(garbage.collect_garbage())


@shared_task(name=mails.TASK, autoretry_for=(OSError,), retry_backoff=30, max_retries=5)
def mail_transfer(kind: str, transfer: int) -> bool:
    """Tell somebody of an offer or its answer."""
    return mails.send(kind, transfer)


@shared_task(name=access_mails.TASK, autoretry_for=(OSError,), retry_backoff=30, max_retries=5)
def mail_access(kind: str, key: int) -> bool:
    """Tell somebody of a request, its answer, or a role."""
    return access_mails.send(kind, key)


@shared_task(name="marketplace.collect_partial_uploads")
def collect_partial_uploads() -> int:
    """Forget files that arrived in part and that nobody went on with."""
    return partial_uploads.collect_partial_uploads()
