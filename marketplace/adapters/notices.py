"""What people are told on the site about access and offers. The letters are ``access_mails`` and ``mails``."""

from __future__ import annotations

from marketplace.adapters.models import AccessRequest, Collaborator, Transfer
from marketplace.notifications.models import Kind
from marketplace.notifications.services import notify
from marketplace.policy import access_address


def tell_asked(asked: AccessRequest) -> None:
    name = asked.adapter.full_name
    notify(
        user=asked.adapter.owner,
        kind=Kind.ACCESS,
        title=f"{asked.user.username} asks for access to {name}",
        text=asked.message,
        address=access_address(asked.adapter),
        letter=False,
    )


def tell_answered(asked: AccessRequest) -> None:
    name = asked.adapter.full_name
    granted = asked.state == AccessRequest.State.APPROVED
    notify(
        user=asked.user,
        kind=Kind.ACCESS,
        title=f"You have access to {name}" if granted else f"No access to {name}",
        text=asked.answer,
        address=asked.adapter.get_absolute_url(),
        letter=False,
    )


def tell_added(added: Collaborator) -> None:
    name, owner = added.adapter.full_name, added.adapter.owner.username
    notify(
        user=added.user,
        kind=Kind.ACCESS,
        title=f"{owner} shares {name} with you",
        text="You may change it." if added.role == Collaborator.Role.WRITE else "You may load and use it.",
        address=added.adapter.get_absolute_url(),
        letter=False,
    )


def tell_offered(offer: Transfer) -> None:
    notify(
        user=offer.receiver,
        kind=Kind.TRANSFER,
        title=f"{offer.sender.username} offers you {offer.adapter.full_name}",
        address="/account/#offers",
        letter=False,
    )


def tell_offer_answered(offer: Transfer) -> None:
    verb = "accepted" if offer.state == Transfer.State.ACCEPTED else "declined"
    notify(
        user=offer.sender,
        kind=Kind.TRANSFER,
        title=f"{offer.receiver.username} {verb} {offer.adapter.full_name}",
        address=offer.adapter.get_absolute_url(),
        letter=False,
    )
