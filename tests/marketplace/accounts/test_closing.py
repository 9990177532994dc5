"""The end of an account: closing, taking it back, erasing."""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.contrib.sessions.models import Session
from django.core import mail
from django.db import connections, transaction
from django.test import Client
from django.utils import timezone

from inference_worker.contracts.embed import EmbedItem, EmbedRequest
from marketplace.accounts import mails, services
from marketplace.accounts.closing import close_account, reopen_account
from marketplace.accounts.erasing import erase_due_accounts
from marketplace.accounts.models import Token, User
from marketplace.adapters import selectors
from marketplace.adapters.models import Adapter, Lineage, Transfer
from marketplace.adapters.purging import purge_deleted
from marketplace.adapters.services.naming import lock_names
from marketplace.core.errors import Conflict, Gone, Invalid
from marketplace.jobs.models import Job
from marketplace.jobs.services import create_job
from marketplace.moderation import services as moderation
from marketplace.moderation.models import AuditEntry, Report
from tests.marketplace.conftest import PASSWORD, MakeAdapter, MakePerson

pytestmark = pytest.mark.django_db


def _close(user: User, **changed: Any) -> User:
    said = {"password": PASSWORD, "username": user.username, "delete_adapters": True, **changed}
    return close_account(user=user, **said)


def _erase(user: User) -> None:
    User.objects.filter(pk=user.pk).update(closing_at=timezone.now() - timedelta(seconds=1))
    assert erase_due_accounts() == 1
    user.refresh_from_db()


def test_closing_signs_out_everywhere_and_ends_tokens(client: Client, ada: User, make_adapter: MakeAdapter) -> None:
    make_adapter(ada, "plural")
    _, secret = services.create_token(user=ada, name="laptop")
    elsewhere = Client()
    assert elsewhere.login(username="ada", password=PASSWORD)
    client.login(username="ada", password=PASSWORD)
    answer = client.post("/account/close", {"adapters": "delete", "username": "ADA", "password": PASSWORD})
    assert answer.status_code == 200
    assert "is closed" in answer.content.decode()
    assert elsewhere.get("/account/").status_code == 302
    assert client.get("/api/v1/me/", headers={"Authorization": f"Bearer {secret}"}).status_code == 401
    ada.refresh_from_db()
    assert ada.closing_at is not None
    assert ada.closing_at > timezone.now() + timedelta(days=6.9)
    # The same password leads back in, to a page that says what is coming.
    assert client.login(username="ada", password=PASSWORD)
    assert "Keep my account" in client.get("/account/").content.decode()


def test_who_is_leaving_changes_nothing(client: Client, ada: User, make_adapter: MakeAdapter) -> None:
    adapter = make_adapter(ada, "plural")
    _close(ada)
    ada.refresh_from_db()
    client.force_login(ada)
    page = client.post("/account/profile", {"display_name": "Ada"})
    assert (page.status_code, "about to be erased" in page.content.decode()) == (403, True)
    assert "Keep my account" in page.content.decode()
    answer = client.post("/api/v1/tokens/", {"name": "laptop"}, "application/json")
    assert (answer.status_code, answer.json()["code"]) == (403, "account_closing")
    # One that was made in the same moment.
    _, secret = services.create_token(user=ada, name="late", scope="write")
    headers = {"Authorization": f"Bearer {secret}"}
    answer = Client().post("/api/v1/adapters/ada/plural/restore/", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "account_closing")
    assert Client().get("/api/v1/me/", headers=headers).status_code == 200
    answer = client.get("/account/export")
    assert (answer.status_code, b"".join(answer.streaming_content)[:2]) == (200, b"PK")
    assert client.post("/account/reopen").status_code == 302
    adapter.refresh_from_db()
    assert adapter.deleted_at is None
    assert client.post("/account/profile", {"display_name": "Ada"}).status_code == 302


@pytest.mark.parametrize(("said", "field"), [({"password": "wrong"}, "password"), ({"username": "bob"}, "username")])
def test_it_is_confirmed_twice(said: dict[str, str], field: str, ada: User) -> None:
    with pytest.raises(Invalid) as caught:
        _close(ada, **said)
    assert set(caught.value.extra["fields"]) == {field}
    ada.refresh_from_db()
    assert ada.closing_at is None


def test_guessing_the_password_is_slowed_down(client: Client, ada: User) -> None:
    client.force_login(ada)
    body = {"adapters": "delete", "username": "ada", "password": "guess"}
    answers = [client.post("/account/close", body).content.decode() for _ in range(11)]
    assert "This is not your password" in answers[9]
    assert "Too many requests" in answers[10]


def test_with_adapters_left_it_stops_where_that_was_asked(ada: User, bob: User, make_adapter: MakeAdapter) -> None:
    adapter = make_adapter(ada, "plural")
    offer = Transfer.objects.create(adapter=adapter, sender=ada, receiver=bob)
    with pytest.raises(Conflict, match="still have 1 adapter") as caught:
        _close(ada, delete_adapters=False)
    assert caught.value.extra["adapters"] == ["ada/plural"]
    _close(ada)
    offer.refresh_from_db()
    adapter.refresh_from_db()
    assert (offer.state, adapter.deleted_at is None) == ("withdrawn", False)


def test_taking_it_back_restores_what_closing_deleted(ada: User, make_adapter: MakeAdapter) -> None:
    adapter, earlier = make_adapter(ada, "plural"), make_adapter(ada, "old")
    Adapter.objects.filter(pk=earlier.pk).update(deleted_at=timezone.now() - timedelta(days=3))
    _close(ada)
    assert _close(User.objects.get(pk=ada.pk)).closing_at is not None
    assert reopen_account(user=ada) == []
    ada.refresh_from_db()
    assert ada.closing_at is None
    assert list(Adapter.objects.filter(deleted_at=None)) == [adapter]
    assert erase_due_accounts() == 0
    assert reopen_account(user=ada) == []
    actions = AuditEntry.objects.filter(target="ada").values_list("action", flat=True)
    assert sorted(actions) == ["account.close", "account.reopen"]


def test_the_last_administrator_stays(make_person: MakePerson) -> None:
    boss = make_person("boss", is_superuser=True, is_staff=True)
    with pytest.raises(Conflict, match="last administrator"):
        _close(boss)
    other = make_person("other", is_superuser=True, is_staff=True)
    _close(other)
    # One who is leaving does not count.
    with pytest.raises(Conflict, match="last administrator"):
        _close(boss)


@pytest.mark.django_db(transaction=True)
def test_two_administrators_cannot_leave_at_once(make_person: MakePerson) -> None:
    pair = [make_person(name, is_superuser=True, is_staff=True) for name in ("boss", "other")]
    start, ended = threading.Barrier(2), []

    def leave(user: User) -> None:
        try:
            start.wait(10)
            _close(user)
            ended.append("closed")
        except Conflict as fault:
            ended.append(fault.code)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=leave, args=[user]) for user in pair]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(ended) == ["closed", "last_administrator"]


def test_erasing_leaves_the_name_alone(
    client: Client,
    ada: User,
    bob: User,
    make_adapter: MakeAdapter,
    moderator: User,
    django_capture_on_commit_callbacks: Any,
) -> None:
    services.edit_profile(user=ada, display_name="Ada Lovelace")
    services.create_token(user=ada, name="laptop")
    EmailAddress.objects.create(user=ada, email=ada.email, verified=True, primary=True)
    client.login(username="ada", password=PASSWORD)
    parent, child = make_adapter(ada, "plural"), make_adapter(bob, "child")
    evidence = make_adapter(ada, "bad")
    moderation.decide(moderator=moderator, adapter=evidence, action="quarantine", reason="Copied.")
    assert parent.current is not None
    assert child.current is not None
    Lineage.objects.create(child=child.current, parent=parent.current, operation="cat")
    report = Report.objects.create(adapter=child, reporter=ada, reason="spam")
    _close(ada)
    with django_capture_on_commit_callbacks(execute=True):
        _erase(ada)
    assert (ada.email, ada.display_name, ada.is_active, ada.has_usable_password()) == ("", "", False, False)
    assert not Token.objects.exists()
    assert not EmailAddress.objects.exists()
    assert not [
        session for session in Session.objects.all() if session.get_decoded().get("_auth_user_id") == str(ada.pk)
    ]
    report.refresh_from_db()
    parent.current.refresh_from_db()
    evidence.refresh_from_db()
    assert (report.reporter, parent.current.author) == (None, None)
    assert (evidence.moderation, evidence.deleted_at) == ("quarantined", None)
    assert selectors.get_adapter(user=moderator, owner="ada", name="bad") == evidence
    [edge] = selectors.lineage_of(user=bob, adapter=child)["parents"]
    assert edge.parent.adapter.full_name == "ada/plural"
    with pytest.raises(Gone, match="with the account of its owner"):
        selectors.get_adapter(user=bob, owner="ada", name="plural")
    assert "Ada Lovelace" not in json.dumps(list(AuditEntry.objects.values("detail", "actor_name")))
    assert AuditEntry.objects.filter(actor_name="ada").exists()
    assert erase_due_accounts() == 0


def test_evidence_of_an_erased_person_ends_after_a_while(
    ada: User, make_adapter: MakeAdapter, moderator: User, settings: Any
) -> None:
    evidence, given_back = make_adapter(ada, "bad"), make_adapter(ada, "fine")
    for adapter in (evidence, given_back):
        moderation.decide(moderator=moderator, adapter=adapter, action="quarantine", reason="Copied.")
    _close(ada)
    _erase(ada)
    assert purge_deleted() == 0
    moderation.decide(moderator=moderator, adapter=given_back, action="restore", reason="It was not.")
    assert purge_deleted() == 1
    User.objects.filter(pk=ada.pk).update(erased_at=timezone.now() - timedelta(days=settings.REMOVED_KEEP_DAYS + 1))
    assert purge_deleted() == 1
    assert not Adapter.objects.filter(deleted_at=None).exists()
    assert not Adapter.objects.filter(purged_at=None).exists()


@pytest.mark.django_db(transaction=True)
def test_closing_waits_for_no_result_that_waits_for_it(ada: User) -> None:
    """Whoever records a merge holds the job and then takes the owner's names."""
    job = create_job(
        owner=ada,
        kind="embed",
        request=EmbedRequest(items=(EmbedItem(key="a", texts=("hello",)),)),
        subject={},
    )
    held, ended = threading.Event(), []

    def record() -> None:
        try:
            with transaction.atomic():
                Job.objects.select_for_update().get(pk=job.pk)
                held.set()
                closing.join(1)
                lock_names(ada)
            ended.append("recorded")
        finally:
            connections.close_all()

    def close() -> None:
        try:
            held.wait(10)
            _close(ada)
            ended.append("closed")
        finally:
            connections.close_all()

    recording, closing = threading.Thread(target=record), threading.Thread(target=close)
    for thread in (closing, recording):
        thread.start()
    for thread in (closing, recording):
        thread.join(30)
    assert sorted(ended) == ["closed", "recorded"]
    job.refresh_from_db()
    assert job.state == "cancelled"


def test_an_erased_name_is_not_given_out_again(client: Client, ada: User) -> None:
    _close(ada)
    _erase(ada)
    answer = client.post(
        "/account/signup/",
        {"username": "a-d-a", "email": "x@example.org", "password1": PASSWORD, "password2": PASSWORD},
    )
    assert "differs from an existing one" in answer.content.decode()
    assert not client.login(username="ada", password=PASSWORD)
    answer = client.get("/ada")
    assert (answer.status_code, "was deleted" in answer.content.decode()) == (410, True)


def test_the_letter_says_how_to_come_back(ada: User) -> None:
    assert not mails.write_closing(ada.pk)
    _close(ada)
    assert mails.write_closing(ada.pk)
    assert "Keep my account" in mail.outbox[0].body
