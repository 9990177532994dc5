"""The end of an account: its owner closes it, may take that back for some days, then it is erased.

What is left afterwards is the name, so that nobody else can pass for its owner: it stands in the audit log, in
addresses and in the lineage of what others made. A row of a person is never deleted.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from functools import partial

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from marketplace import policy
from marketplace.accounts import mails
from marketplace.accounts.models import Token, User
from marketplace.adapters.models import Adapter, Transfer
from marketplace.adapters.services.deleting import entomb, restore_adapter
from marketplace.core.errors import AppError, Conflict, Invalid
from marketplace.jobs import services as jobs
from marketplace.jobs.models import Job
from marketplace.moderation import audit
from marketplace.moderation.models import AuditEntry


def close_account(*, user: User, password: str, username: str, delete_adapters: bool) -> User:
    """Close ``user``'s account: signed out everywhere, tokens revoked, adapters deleted, erased in some days.

    ``password`` and ``username`` confirm it. Without ``delete_adapters`` nothing happens while there still are any, so
    that they can be handed over first. Closing twice is no fault. Raises ``Invalid`` and ``Conflict``, the latter for
    the last superuser too.
    """
    _check_confirmation(user, password, username)
    with transaction.atomic():
        row = _locked(user)
        if row.closing_at is None:
            _close(row, password, delete_adapters)
    # Whoever records a result holds its job and waits for its owner; so nobody holds both the other way round.
    stop_jobs(row)
    return row


def _locked(user: User) -> User:
    """The person's row, locked; every superuser's with it, so that two of them cannot leave at once."""
    rows = User.objects.filter(
        Q(pk=user.pk) | Q(is_superuser=True) if policy.may_see_everything(user) else Q(pk=user.pk)
    )
    return {row.pk: row for row in rows.select_for_update(no_key=True).order_by("pk")}[user.pk]


def _close(row: User, password: str, delete_adapters: bool) -> None:
    _check_not_last(row)
    now = timezone.now()
    row.closing_at = now + timedelta(days=settings.ACCOUNT_GRACE_DAYS)
    # A new salt for the same password: sessions are bound to the hash, so all of them end.
    row.set_password(password)
    row.save(update_fields=["closing_at", "password"])
    Token.objects.filter(owner=row, revoked_at=None).update(revoked_at=now)
    received = Transfer.objects.filter(receiver=row, state=Transfer.State.WAITING)
    received.update(state=Transfer.State.DECLINED, decided_at=now)
    deleted = _delete_adapters(row, delete_adapters)
    audit.record(
        actor=row,
        action="account.close",
        target=row.username,
        adapters=deleted,
        until=row.closing_at.isoformat(),
    )
    transaction.on_commit(partial(mails.send_closing, row.pk), robust=True)


def _check_confirmation(user: User, password: str, username: str) -> None:
    faults: dict[str, list[str]] = {}
    if not user.check_password(password):
        faults["password"] = ["This is not your password."]
    if username.strip().lower() != user.username.lower():
        faults["username"] = [f"Write {user.username}, so that it is certain which account you mean."]
    if faults:
        raise Invalid(" ".join(words for found in faults.values() for words in found), extra={"fields": faults})


def _check_not_last(user: User) -> None:
    """Somebody has to be able to run the site. Call with superusers locked."""
    if not policy.may_see_everything(user):
        return
    able = User.objects.filter(is_superuser=True, is_active=True, closing_at=None)
    if not able.exclude(pk=user.pk).exists():
        raise Conflict(
            "You are the last administrator of this site. Make somebody else one first.", code="last_administrator"
        )


def _delete_adapters(user: User, delete: bool) -> list[int]:
    """The keys of the adapters that this deleted; what a moderator has taken down stays as it is."""
    rows = Adapter.objects.select_for_update(of=("self",)).select_related("owner").order_by("pk")
    own = list(rows.filter(owner=user, deleted_at=None, moderation=Adapter.Moderation.VISIBLE))
    if own and not delete:
        raise Conflict(
            f"You still have {len(own)} adapter{'s' if len(own) > 1 else ''}. Hand over what you want to keep in the "
            "world, wait until that is accepted, or let all of them be deleted.",
            code="adapters_left",
            extra={"adapters": [adapter.full_name for adapter in own[:50]]},
        )
    entomb(own, user)
    return [adapter.pk for adapter in own]


def stop_jobs(user: User) -> None:
    """Cancel what runs or waits for the person. Call outside transactions that hold their row."""
    for job in Job.objects.filter(owner=user, cancel_requested=False).exclude(state__in=Job.ENDED):
        # One that ended meanwhile needs no cancelling.
        with suppress(Conflict):
            jobs.cancel_job(user=user, job=job)


def reopen_account(*, user: User) -> list[str]:
    """Take the closing back and restore what it deleted; the sentences about what could not be restored.

    Tokens stay revoked. An account that is not closing stays as it is.
    """
    with transaction.atomic():
        row = User.objects.select_for_update(no_key=True).get(pk=user.pk)
        if row.closing_at is None or row.erased_at is not None:
            return []
        row.closing_at = None
        row.save(update_fields=["closing_at"])
        closing = AuditEntry.objects.filter(actor=row, action="account.close").order_by("-at", "-pk").first()
        audit.record(actor=row, action="account.reopen", target=row.username)
    left = []
    deleted = Adapter.objects.filter(owner=user, deleted_at__isnull=False)
    for adapter in deleted.filter(pk__in=closing.detail["adapters"] if closing else []).select_related("owner"):
        try:
            restore_adapter(user=user, adapter=adapter)
        except AppError as fault:
            left.append(fault.message)
    return left
