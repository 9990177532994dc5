"""What the marketplace worker does for notifications."""

from __future__ import annotations

from celery import shared_task

from marketplace.notifications import services


@shared_task(name=services.TASK, autoretry_for=(OSError,), retry_backoff=30, max_retries=5)
def mail_notification(key: int) -> bool:
    """Write the letter of one notification."""
    return services.write_letter(key)


@shared_task(name="marketplace.forget_notifications")
def forget_notifications() -> int:
    """Delete old ones."""
    return services.forget_old()
