"""An adapter changes hands: its owner offers it, somebody else accepts or declines."""

from __future__ import annotations

from functools import partial

from django.db import transaction
from django.utils import timezone

from marketplace import policy
from marketplace.accounts.models import User
from marketplace.adapters import mails, notices
from marketplace.adapters.fields import Checker
from marketplace.adapters.models import Adapter, Transfer
from marketplace.adapters.services.artifacts import blobs_of
from marketplace.adapters.services.naming import check_name_free, keep_former_name, lock_names
from marketplace.adapters.services.renaming import locked_for_owner, rewrite_own_name
from marketplace.adapters.services.versions import embed_when_valid
from marketplace.adapters.uploads.quota import check_quota
from marketplace.core.errors import Conflict, Invalid, NotAuthenticated, NotFound
from marketplace.jobs.checking import recheck_later
from marketplace.moderation import audit

_State = Transfer.State


def offer_transfer(*, user: User, adapter: Adapter, receiver: str) -> Transfer:
    """Offer an adapter to the person named ``receiver``, who is told by e-mail and on their account page.

    The same offer again changes nothing. Raises ``Invalid`` for nobody and oneself, ``Conflict`` while another offer
    of the adapter waits.
    """
    with transaction.atomic():
        row = locked_for_owner(user, adapter)
        to = User.objects.filter(username__iexact=receiver.strip(), is_active=True, closing_at=None).first()
        if to is None:
            raise _no_receiver(f"There is nobody named {receiver.strip()[:60] or '“”'} who could take it.")
        if to.pk == row.owner_id:
            raise _no_receiver(f"{row.full_name} is yours already.")
        waiting = row.transfers.filter(state=_State.WAITING).select_related("receiver").first()
        if waiting is not None and waiting.receiver_id == to.pk:
            return waiting
        if waiting is not None:
            raise Conflict(
                f"{row.full_name} is offered to {waiting.receiver.username}. Withdraw that offer first.",
                code="offer_waiting",
            )
        offer = Transfer.objects.create(adapter=row, sender=user, receiver=to)
        audit.record(actor=user, action="adapter.offer", target=row.full_name, transfer=offer.pk, receiver=to.username)
        notices.tell_offered(offer)
        transaction.on_commit(partial(mails.send_later, mails.OFFERED, offer.pk), robust=True)
    return offer


def _no_receiver(sentence: str) -> Invalid:
    return Invalid(sentence, extra={"fields": {"receiver": [sentence]}})


def withdraw_transfer(*, user: User, transfer: Transfer) -> Transfer:
    """Take an offer back. Withdrawing twice is no fault; ``Conflict`` when it was answered already."""
    with transaction.atomic():
        row = _locked(user, transfer, policy.sent(user, transfer))
        if row.state != _State.WITHDRAWN:
            _answer(user, row, _State.WITHDRAWN, "adapter.withdraw_offer")
    return row


def decline_transfer(*, user: User, transfer: Transfer) -> Transfer:
    """Say no. Declining twice is no fault; ``Conflict`` when the offer is gone or was accepted."""
    with transaction.atomic():
        row = _locked(user, transfer, policy.received(user, transfer))
        if row.state != _State.DECLINED:
            _answer(user, row, _State.DECLINED, "adapter.decline_offer")
            notices.tell_offer_answered(row)
            transaction.on_commit(partial(mails.send_later, mails.ANSWERED, row.pk), robust=True)
    return row


def accept_transfer(*, user: User, transfer: Transfer, name: str = "") -> Adapter:
    """Take an offered adapter over, under ``name`` where its own is taken; its old address leads to the new one.

    Its versions keep their authors, its collaborators their roles. Accepting twice is no fault. Raises
    ``QuotaExceeded``, and ``Conflict`` when the offer is gone, the name is taken or a moderator has stepped in.
    """
    checker = Checker()
    name = checker.name(name) if name else ""
    checker.finish()
    with transaction.atomic():
        lock_names(transfer.sender, user)
        adapter = _locked_adapter(transfer.adapter_id)
        row = _locked(user, transfer, policy.received(user, transfer))
        if row.state == _State.ACCEPTED and adapter.owner_id == user.pk:
            return adapter
        _check_waiting(row)
        _check_transferable(adapter, row)
        check_name_free(user, name or adapter.name, adapter=adapter)
        check_quota(user, blobs_of(adapter))
        _hand_over(adapter, user, name or adapter.name)
        row.adapter = adapter
        _answer(user, row, _State.ACCEPTED, "adapter.accept_offer")
        notices.tell_offer_answered(row)
        transaction.on_commit(partial(mails.send_later, mails.ANSWERED, row.pk), robust=True)
    return adapter


def _locked_adapter(pk: int) -> Adapter:
    return Adapter.objects.select_for_update(of=("self",)).select_related("owner", "base").get(pk=pk)


def _locked(user: User, transfer: Transfer, is_party: bool) -> Transfer:
    """The offer, locked. What is between two others does not exist."""
    if not user.is_authenticated:
        raise NotAuthenticated("Sign in to answer offers.")
    if not is_party:
        raise NotFound("There is no such offer, or it is not yours to answer.")
    people = ("adapter__owner", "sender", "receiver")
    return Transfer.objects.select_for_update(of=("self",)).select_related(*people).get(pk=transfer.pk)


def _check_waiting(row: Transfer) -> None:
    if row.state != _State.WAITING:
        raise Conflict(f"This offer is {row.get_state_display().lower()}.", code="offer_ended")


def _check_transferable(adapter: Adapter, row: Transfer) -> None:
    """Between offer and answer, the adapter may have been deleted, taken down or given away."""
    if adapter.owner_id != row.sender_id or not policy.may_administer(row.sender, adapter):
        raise Conflict(f"{adapter.full_name} can no longer be taken over.", code="offer_ended")


def _hand_over(adapter: Adapter, receiver: User, name: str) -> None:
    """Owner and name; the sender keeps no right that they were not given as a collaborator."""
    before, sender, old = adapter.full_name, adapter.owner, adapter.name
    adapter.owner, adapter.name, adapter.updated_at = receiver, name, timezone.now()
    adapter.save(update_fields=["owner", "name", "updated_at"])
    keep_former_name(adapter, sender, old)
    adapter.collaborators.filter(user=receiver).delete()
    adapter.access_requests.filter(user=receiver).delete()
    recheck_later([sender.pk])
    commit = rewrite_own_name(receiver, adapter, before)
    embed_when_valid(adapter)
    audit.record(actor=receiver, action="adapter.transfer", target=adapter.full_name, before=before, commit=commit)


def _answer(user: User, row: Transfer, state: str, action: str) -> None:
    _check_waiting(row)
    row.state, row.decided_at = state, timezone.now()
    row.save(update_fields=["state", "decided_at"])
    audit.record(actor=user, action=action, target=row.adapter.full_name, transfer=row.pk)
