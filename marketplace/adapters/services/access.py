"""Gated adapters: somebody asks for access, the owner answers, and may take an answer back."""

from __future__ import annotations

import datetime as dt
from functools import partial

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from marketplace import policy
from marketplace.accounts.models import User
from marketplace.adapters import access_mails, notices
from marketplace.adapters.models import AccessRequest, Adapter
from marketplace.adapters.services.renaming import locked_for_owner
from marketplace.core.errors import Conflict, Invalid, NotAuthenticated, NotFound
from marketplace.jobs.checking import recheck_later
from marketplace.moderation import audit

MAX_TEXT = 2000
_State = AccessRequest.State


def request_access(*, user: User, adapter: Adapter, message: str = "", agree: bool = False) -> AccessRequest:
    """Ask the owner of a gated adapter for it; ``agree`` says that its terms were read and are accepted.

    Asking again while a request waits replaces its message. Raises ``NotAuthenticated``, ``Invalid``, ``Conflict``
    (``nothing_to_ask``; ``ask_later`` for some days after a refusal).
    """
    if not policy.is_known(user):
        raise NotAuthenticated("Sign in to ask for access.")
    message = _text("message", message)
    with transaction.atomic():
        row = _locked(adapter)
        policy.require(user, policy.Action.ASK, row)
        if row.gate_terms and not agree:
            sentence = "Agree to the terms of the adapter's owner, or do not ask."
            raise Invalid(sentence, extra={"fields": {"agree": [sentence]}})
        asked, new = AccessRequest.objects.get_or_create(adapter=row, user=user, defaults={"message": message})
        if not new:
            _ask_again(asked, message)
        audit.record(actor=user, action="access.request", target=row.full_name, request=asked.pk)
        notices.tell_asked(asked)
        transaction.on_commit(partial(access_mails.send_later, access_mails.ASKED, asked.pk), robust=True)
    return asked


def _ask_again(asked: AccessRequest, message: str) -> None:
    if asked.state == _State.REFUSED:
        wait = may_ask_again_at(asked) - timezone.now()
        if wait > dt.timedelta(0):
            days = max(1, wait.days + 1)
            raise Conflict(
                f"The owner refused your request. You may ask again in {days} day{'s' if days > 1 else ''}.",
                code="ask_later",
                extra={"ask_again_at": may_ask_again_at(asked).isoformat()},
            )
        asked.state, asked.answer = _State.WAITING, ""
        asked.decided_by = asked.decided_at = None
        asked.created_at = timezone.now()
    asked.message = message
    asked.save()


def may_ask_again_at(asked: AccessRequest) -> dt.datetime:
    """When somebody who was refused may ask once more."""
    return (asked.decided_at or asked.created_at) + dt.timedelta(days=settings.ACCESS_ASK_AGAIN_DAYS)


def withdraw_request(*, user: User, adapter: Adapter) -> None:
    """Take a waiting request back, or give an approved one up. A refusal stays, so that nobody asks around it.

    Raises ``NotFound`` without a request, ``Conflict`` after a refusal.
    """
    with transaction.atomic():
        row = _locked(adapter)
        asked = _request_of(row, user)
        if asked.state == _State.REFUSED:
            raise Conflict("This request was refused; there is nothing to withdraw.", code="already_answered")
        audit.record(actor=user, action="access.withdraw", target=row.full_name, request=asked.pk, state=asked.state)
        asked.delete()
        recheck_later([user.pk])


def answer_request(*, user: User, adapter: Adapter, asker: User, approve: bool, answer: str = "") -> AccessRequest:
    """Approve or refuse a request; refusing an approved one revokes it, and stops what it allowed.

    The same answer again changes its words alone. Raises ``Forbidden`` for all but the owner, ``NotFound`` without a
    request, ``Invalid``.
    """
    answer = _text("answer", answer)
    with transaction.atomic():
        row = locked_for_owner(user, adapter)
        asked = _request_of(row, asker)
        before = asked.state
        asked.state = _State.APPROVED if approve else _State.REFUSED
        asked.answer, asked.decided_by, asked.decided_at = answer, user, timezone.now()
        asked.save(update_fields=["state", "answer", "decided_by", "decided_at"])
        verb = "approve" if approve else "revoke" if before == _State.APPROVED else "refuse"
        audit.record(actor=user, action=f"access.{verb}", target=row.full_name, request=asked.pk, asker=asker.username)
        if before != asked.state:
            notices.tell_answered(asked)
            transaction.on_commit(partial(access_mails.send_later, access_mails.ANSWERED, asked.pk), robust=True)
        if verb == "revoke":
            recheck_later([asker.pk])
    return asked


def _locked(adapter: Adapter) -> Adapter:
    return Adapter.objects.select_for_update(of=("self",)).select_related("owner").get(pk=adapter.pk)


def _request_of(adapter: Adapter, asker: User) -> AccessRequest:
    asked = adapter.access_requests.select_for_update(of=("self",)).filter(user=asker).first()
    if asked is None:
        raise NotFound(f"{asker.username} has not asked for {adapter.full_name}.")
    asked.adapter, asked.user = adapter, asker
    return asked


def _text(field: str, text: str) -> str:
    text = text.replace("\0", "").replace("\r\n", "\n").strip()
    if len(text) > MAX_TEXT:
        sentence = f"Use at most {MAX_TEXT} characters; this has {len(text)}."
        raise Invalid(sentence, extra={"fields": {field: [sentence]}})
    return text
