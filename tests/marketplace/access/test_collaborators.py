"""Who works on an adapter beside its owner."""

from __future__ import annotations

from typing import Any

import pytest
from django.core import mail
from django.test import Client

from marketplace import policy
from marketplace.accounts.models import User
from marketplace.accounts.throttling import LetterThrottle
from marketplace.adapters import access_mails, selectors
from marketplace.adapters.models import Adapter
from marketplace.adapters.services.access import request_access
from marketplace.adapters.services.collaborators import add_collaborator, change_collaborator, remove_collaborator
from marketplace.catalog.selectors import search
from marketplace.core.errors import Forbidden, Invalid, NotFound
from marketplace.moderation.models import AuditEntry

pytestmark = pytest.mark.django_db


@pytest.fixture
def secret(make_adapter: Any, ada: User) -> Adapter:
    adapter: Adapter = make_adapter(ada, "secret", visibility="private")
    return adapter


def test_from_adding_to_leaving(secret: Adapter, ada: User, bob: User) -> None:
    add_collaborator(user=ada, adapter=secret, username="BOB", role="read")
    assert policy.may_use(bob, secret)
    assert not policy.may_edit(bob, secret)
    change_collaborator(user=ada, adapter=secret, username="bob", role="write")
    assert policy.may_edit(bob, secret)
    assert not policy.may_administer(bob, secret)
    remove_collaborator(user=bob, adapter=secret, username="bob")
    assert not policy.may_view(bob, secret)
    kinds = list(AuditEntry.objects.order_by("pk").values_list("action", flat=True))
    assert kinds == ["collaborator.add", "collaborator.change", "collaborator.leave"]


def test_catalogue_and_account_show_what_is_shared(secret: Adapter, ada: User, bob: User, make_person: Any) -> None:
    add_collaborator(user=ada, adapter=secret, username="bob", role="read")
    assert [hit.adapter for hit in search(user=bob).results] == [secret]
    assert search(user=bob).total == 1
    assert search(user=make_person("eve")).total == 0
    assert list(selectors.shared_with(bob)) == [secret]
    assert list(selectors.shared_with(ada)) == []


def test_adding_twice_changes_the_role(secret: Adapter, ada: User, bob: User) -> None:
    add_collaborator(user=ada, adapter=secret, username="bob", role="read")
    add_collaborator(user=ada, adapter=secret, username="bob", role="write")
    add_collaborator(user=ada, adapter=secret, username="bob", role="write")
    assert [found.role for found in secret.collaborators.all()] == ["write"]
    assert AuditEntry.objects.count() == 2


@pytest.mark.parametrize(
    ("username", "role", "field"),
    [("ada", "read", "username"), ("nobody", "read", "username"), ("gone", "read", "username"), ("bob", "own", "role")],
)
def test_faults(secret: Adapter, ada: User, bob: User, make_person: Any, username: str, role: str, field: str) -> None:
    make_person("gone", is_active=False)
    with pytest.raises(Invalid) as raised:
        add_collaborator(user=ada, adapter=secret, username=username, role=role)
    assert list(raised.value.extra["fields"]) == [field]


def test_only_the_owner_decides(secret: Adapter, ada: User, bob: User, make_person: Any) -> None:
    eve = make_person("eve")
    add_collaborator(user=ada, adapter=secret, username="bob", role="write")
    with pytest.raises(Forbidden):
        add_collaborator(user=bob, adapter=secret, username="eve", role="read")
    with pytest.raises(Forbidden):
        change_collaborator(user=bob, adapter=secret, username="bob", role="read")
    with pytest.raises(NotFound):
        remove_collaborator(user=eve, adapter=secret, username="bob")
    with pytest.raises(NotFound):
        remove_collaborator(user=ada, adapter=secret, username="eve")
    assert secret.collaborators.get().role == "write"


def test_a_role_answers_a_waiting_request(gated: Adapter, ada: User, bob: User) -> None:
    request_access(user=bob, adapter=gated, agree=True)
    add_collaborator(user=ada, adapter=gated, username="bob", role="read")
    assert not gated.access_requests.exists()


def test_letter(secret: Adapter, ada: User, bob: User) -> None:
    added = add_collaborator(user=ada, adapter=secret, username="bob", role="write")
    assert access_mails.send(access_mails.ADDED, added.pk)
    assert (mail.outbox[0].to, mail.outbox[0].subject) == ([bob.email], "ada shares ada/secret with you")


def test_adding_and_removing_in_turns_sends_one_letter(secret: Adapter, ada: User, bob: User) -> None:
    for expected in (True, False, False):
        added = add_collaborator(user=ada, adapter=secret, username="bob", role="read")
        assert access_mails.send(access_mails.ADDED, added.pk) is expected
        remove_collaborator(user=ada, adapter=secret, username="bob")
    assert len(mail.outbox) == 1


def test_a_letter_that_could_not_be_sent_is_sent_later(
    secret: Adapter, ada: User, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    added = add_collaborator(user=ada, adapter=secret, username="bob", role="read")

    def away(*arguments: Any) -> None:
        raise OSError("no mail server")

    monkeypatch.setattr(access_mails, "send_mail", away)
    with pytest.raises(OSError, match="no mail server"):
        access_mails.send(access_mails.ADDED, added.pk)
    monkeypatch.undo()
    assert access_mails.send(access_mails.ADDED, added.pk)


def test_adding_is_limited_on_pages_and_through_rest(
    client: Client, secret: Adapter, ada: User, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(LetterThrottle.THROTTLE_RATES, "letter", "2/hour")
    client.force_login(ada)
    body = {"username": "bob", "role": "read"}
    assert client.post("/ada/secret/access/collaborators", body).status_code == 302
    assert client.post("/api/v1/adapters/ada/secret/collaborators/", body, "application/json").status_code == 201
    assert client.post("/api/v1/adapters/ada/secret/collaborators/", body, "application/json").status_code == 429
    assert "Too many requests" in client.post("/ada/secret/access/collaborators", body).content.decode()
    offer = {"receiver": "bob"}
    assert client.post("/api/v1/adapters/ada/secret/transfer/", offer, "application/json").status_code == 429
    assert "Too many requests" in client.post("/ada/secret/settings/offer", offer).content.decode()
    assert client.get("/api/v1/adapters/ada/secret/collaborators/").status_code == 200
