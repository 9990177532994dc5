"""What people are told on the site and by e-mail."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.db import transaction
from django.test import Client
from django.utils import timezone

from marketplace.accounts.models import User
from marketplace.adapters import access_mails
from marketplace.adapters.models import Adapter
from marketplace.adapters.services import answer_request, offer_transfer, request_access
from marketplace.core.errors import Invalid
from marketplace.core.redis import redis_client
from marketplace.notifications import services
from marketplace.notifications.models import Kind, MutedLetter, Notification
from marketplace.notifications.selectors import count_unread, letters_of

pytestmark = pytest.mark.django_db


def tell(user: User, title: str = "ada/plural got worse", **more: Any) -> Notification:
    with transaction.atomic():
        return services.notify(user=user, kind=Kind.REGRESSION, title=title, address="/ada/plural", **more)


def test_it_stands_on_the_site_and_the_letter_waits_for_the_worker(
    ada: User, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        row = tell(ada, text="72 % before, 40 % now.")
    assert count_unread(ada) == 1
    assert redis_client().llen("marketplace") == 1
    assert services.write_letter(row.pk)
    assert not services.write_letter(row.pk)
    (letter,) = mail.outbox
    assert (letter.to, letter.subject) == (["ada@example.org"], "ada/plural got worse")
    assert "72 % before, 40 % now." in letter.body
    assert "/ada/plural" in letter.body


def test_nothing_is_told_twice_while_it_is_unread(ada: User, django_capture_on_commit_callbacks: Any) -> None:
    first = tell(ada, text="60 %")
    with django_capture_on_commit_callbacks() as callbacks:
        assert tell(ada, text="50 %").pk == first.pk
    assert callbacks == []
    assert Notification.objects.get().text == "50 %"
    services.mark_read(user=ada)
    assert tell(ada).pk != first.pk


def test_letters_are_by_kind(ada: User) -> None:
    row = tell(ada)
    assert letters_of(ada) == dict.fromkeys(Kind.values, True)
    assert services.choose_letters(user=ada, wanted={"regression": False})["regression"] is False
    assert not services.write_letter(row.pk)
    assert mail.outbox == []
    services.choose_letters(user=ada, wanted={"regression": True})
    assert MutedLetter.objects.count() == 0
    assert services.write_letter(row.pk)
    with pytest.raises(Invalid, match="no kind “weather”"):
        services.choose_letters(user=ada, wanted={"weather": True})


def test_access_and_offers_are_told_and_their_letters_can_be_muted(
    ada: User, bob: User, make_adapter: Any, django_capture_on_commit_callbacks: Any
) -> None:
    adapter: Adapter = make_adapter(ada, "poems", base="tiny", visibility="gated")
    asked = request_access(user=bob, adapter=adapter, message="For a school.")
    assert Notification.objects.get(user=ada).title == "bob asks for access to ada/poems"
    answer_request(user=ada, adapter=adapter, asker=bob, approve=True)
    told = Notification.objects.get(user=bob)
    assert (told.title, told.address) == ("You have access to ada/poems", "/ada/poems")
    services.choose_letters(user=bob, wanted={"access": False})
    assert not access_mails.send(access_mails.ANSWERED, asked.pk)
    offer_transfer(user=ada, adapter=adapter, receiver="bob")
    assert Notification.objects.filter(user=bob, kind=Kind.TRANSFER).get().title == "ada offers you ada/poems"


def test_the_bell_counts_and_the_page_marks(ada: User, bob: User, client: Client) -> None:
    row, other = tell(ada), tell(bob, "bob's own")
    client.force_login(ada)
    page = client.get("/notifications/").content.decode()
    assert 'aria-label="Notifications, 1 unread"' in page
    assert "bob's own" not in page
    assert client.post(f"/notifications/{other.pk}").status_code == 404
    assert client.post(f"/notifications/{row.pk}").headers["Location"] == "/ada/plural"
    assert 'aria-label="Notifications"' in client.get("/notifications/").content.decode()
    assert "All read" in client.get("/notifications/?show=unread").content.decode()
    tell(ada, "again")
    client.post("/notifications/read")
    assert count_unread(ada) == 0
    assert count_unread(bob) == 1


def test_rest(ada: User, bob: User, client: Client) -> None:
    mine, other = tell(ada), tell(bob)
    client.force_login(ada)
    found = client.get("/api/v1/notifications/?unread=true").json()["results"]
    assert [row["id"] for row in found] == [mine.pk]
    read = {"ids": [mine.pk, other.pk]}
    answer = client.post("/api/v1/notifications/read/", read, content_type="application/json").json()
    assert answer == {"marked": 1, "unread": 0}
    assert count_unread(bob) == 1
    assert client.get("/api/v1/notifications/?unread=true").json()["results"] == []
    changed = client.patch("/api/v1/me/letters/", {"access": False}, content_type="application/json").json()
    assert changed == {"regression": True, "access": False, "transfer": True, "moderation": True}


def test_the_account_page_keeps_the_choice(ada: User, client: Client) -> None:
    client.force_login(ada)
    client.post("/account/letters", {"access": "on"})
    assert letters_of(ada) == {"regression": False, "access": True, "transfer": False, "moderation": False}
    page = client.get("/account/").content.decode()
    assert 'name="access" checked' in page
    assert 'name="transfer" checked' not in page


def test_old_ones_are_forgotten(ada: User, settings: Any) -> None:
    row = tell(ada)
    assert services.forget_old() == 0
    Notification.objects.update(created_at=timezone.now() - timedelta(days=settings.NOTIFICATION_KEEP_DAYS + 1))
    assert services.forget_old() == 1
    assert not services.write_letter(row.pk)
