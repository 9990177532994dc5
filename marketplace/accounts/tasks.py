"""What the marketplace worker does for accounts."""

from __future__ import annotations

from celery import shared_task

from marketplace.accounts import erasing, mails


@shared_task(name="marketplace.erase_accounts")
def erase_accounts() -> int:
    """Erase accounts that were closed some days ago."""
    return erasing.erase_due_accounts()


@shared_task(name=mails.CLOSING, autoretry_for=(OSError,), retry_backoff=30, max_retries=5)
def mail_closing(user: int) -> bool:
    """Tell somebody that their account is closing."""
    return mails.write_closing(user)
