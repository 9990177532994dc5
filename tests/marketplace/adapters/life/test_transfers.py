"""Handing an adapter over: offer, answer, and what moves."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.core import mail
from django.db import connections

from marketplace.accounts.models import User
from marketplace.adapters import mails, selectors, services
from marketplace.adapters.models import Adapter, Transfer
from marketplace.adapters.uploads.quota import stored_bytes
from marketplace.core.errors import Conflict, Invalid, NotFound, QuotaExceeded
from marketplace.moderation import services as moderation
from marketplace.moderation.models import AuditEntry
from tests.marketplace.adapters.life.conftest import Publish

pytestmark = pytest.mark.django_db


def _offer(adapter: Adapter, to: str = "bob") -> Transfer:
    return services.offer_transfer(user=adapter.owner, adapter=adapter, receiver=to)


def test_offer_and_acceptance(ada: User, bob: User, make_person: Any, publish: Publish) -> None:
    carol = make_person("carol")
    adapter = publish(ada, "plural", visibility="private")
    adapter.collaborators.create(user=bob, role="write")
    adapter.collaborators.create(user=carol, role="read")
    used = stored_bytes(ada)
    offer = _offer(adapter, "BOB")
    assert _offer(adapter) == offer
    adapter = services.accept_transfer(user=bob, transfer=offer)
    assert (adapter.full_name, adapter.owner) == ("bob/plural", bob)
    assert selectors.get_adapter(user=carol, owner="ada", name="plural") == adapter
    # Her own rights ended with the ownership; the collaborators keep theirs.
    with pytest.raises(NotFound):
        selectors.get_adapter(user=ada, owner="ada", name="plural")
    assert list(adapter.collaborators.values_list("user__username", flat=True)) == ["carol"]
    assert (stored_bytes(ada), stored_bytes(bob)) == (0, used)
    first = adapter.versions.order_by("pk")[0]
    assert first.author == ada
    actions = set(AuditEntry.objects.filter(target="bob/plural").values_list("action", "actor_name"))
    assert {("adapter.transfer", "bob"), ("adapter.accept_offer", "bob")} <= actions
    assert services.accept_transfer(user=bob, transfer=offer) == adapter
    assert AuditEntry.objects.filter(action="adapter.transfer").count() == 1


def test_both_are_told_by_mail(ada: User, bob: User, publish: Publish) -> None:
    offer = _offer(publish(ada, "plural"))
    assert mails.send(mails.OFFERED, offer.pk)
    services.decline_transfer(user=bob, transfer=offer)
    assert mails.send(mails.ANSWERED, offer.pk)
    # An offer that was answered meanwhile is not announced any more.
    assert not mails.send(mails.OFFERED, offer.pk)
    assert [(letter.to, letter.subject) for letter in mail.outbox] == [
        (["bob@example.org"], "ada offers you ada/plural"),
        (["ada@example.org"], "bob declined ada/plural"),
    ]


@pytest.mark.parametrize("to", ["nobody", "ada", "", "gone", "leaving"])
def test_who_cannot_be_offered_anything(to: str, ada: User, make_person: Any, publish: Publish) -> None:
    make_person("gone", is_active=False)
    make_person("leaving", closing_at="2030-01-01T00:00:00Z")
    with pytest.raises(Invalid) as caught:
        _offer(publish(ada, "plural"), to)
    assert set(caught.value.extra["fields"]) == {"receiver"}


def test_one_offer_at_a_time_and_only_parties_answer(ada: User, bob: User, make_person: Any, publish: Publish) -> None:
    carol = make_person("carol")
    adapter = publish(ada, "plural")
    offer = _offer(adapter)
    with pytest.raises(Conflict, match="offered to bob"):
        _offer(adapter, "carol")
    for stranger, act in ((carol, services.accept_transfer), (ada, services.accept_transfer)):
        with pytest.raises(NotFound):
            act(user=stranger, transfer=offer)
    with pytest.raises(NotFound):
        services.withdraw_transfer(user=bob, transfer=offer)
    services.withdraw_transfer(user=ada, transfer=offer)
    assert services.withdraw_transfer(user=ada, transfer=offer).state == "withdrawn"
    for act in (services.accept_transfer, services.decline_transfer):
        with pytest.raises(Conflict, match="withdrawn"):
            act(user=bob, transfer=offer)
    assert _offer(adapter, "carol").receiver == carol


def test_quota_and_name_are_the_receivers(ada: User, bob: User, publish: Publish) -> None:
    offer = _offer(publish(ada, "plural"))
    publish(bob, "Plural", seed=1)
    with pytest.raises(Conflict, match="named Plural"):
        services.accept_transfer(user=bob, transfer=offer)
    bob.quota_bytes = stored_bytes(bob) + 10
    bob.save()
    with pytest.raises(QuotaExceeded):
        services.accept_transfer(user=bob, transfer=offer, name="plural-of-ada")
    bob.quota_bytes = None
    bob.save()
    assert services.accept_transfer(user=bob, transfer=offer, name="plural-of-ada").full_name == "bob/plural-of-ada"
    assert selectors.get_adapter(user=bob, owner="ada", name="plural").full_name == "bob/plural-of-ada"


def test_there_and_back_again(ada: User, bob: User, publish: Publish) -> None:
    adapter = services.accept_transfer(user=bob, transfer=_offer(publish(ada, "plural")))
    adapter = services.accept_transfer(user=ada, transfer=_offer(adapter, "ada"))
    assert adapter.full_name == "ada/plural"
    assert [str(row.owner) + "/" + row.name for row in adapter.former_names.all()] == ["bob/plural"]


@pytest.mark.parametrize("end", ["delete", "quarantine", "remove"])
def test_offers_end_with_the_adapter(end: str, ada: User, bob: User, moderator: User, publish: Publish) -> None:
    adapter = publish(ada, "plural")
    offer = _offer(adapter)
    if end == "delete":
        services.delete_adapter(user=ada, adapter=adapter)
    else:
        moderation.decide(moderator=moderator, adapter=adapter, action=end, reason="Copied.")
    offer.refresh_from_db()
    assert offer.state == "withdrawn"
    with pytest.raises(Conflict):
        services.accept_transfer(user=bob, transfer=offer)
    adapter.refresh_from_db()
    assert adapter.owner == ada


@pytest.mark.django_db(transaction=True)
def test_accepting_twice_at_once_moves_it_once(ada: User, bob: User, publish: Publish) -> None:
    offer = _offer(publish(ada, "plural"))
    start, ended = threading.Barrier(2), []

    def accept() -> None:
        try:
            start.wait(10)
            ended.append(services.accept_transfer(user=bob, transfer=offer).full_name)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=accept) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert ended == ["bob/plural"] * 2
    assert AuditEntry.objects.filter(action="adapter.transfer").count() == 1
    assert Adapter.objects.get().former_names.count() == 1


def test_offering_and_withdrawing_in_turns_sends_one_letter(ada: User, bob: User, publish: Publish) -> None:
    adapter = publish(ada, "plural")
    for expected in (True, False, False):
        offer = _offer(adapter)
        assert mails.send(mails.OFFERED, offer.pk) is expected
        services.withdraw_transfer(user=ada, transfer=offer)
    assert len(mail.outbox) == 1
