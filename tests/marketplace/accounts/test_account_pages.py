"""Sign-up, sign-in and password reset through django-allauth: our rules, limits and audit."""

from __future__ import annotations

import re
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.core import mail
from django.test import Client

from marketplace.accounts.models import User
from marketplace.accounts.throttling import ReportThrottle, spend
from marketplace.core.errors import TooManyRequests
from marketplace.moderation.models import AuditEntry

pytestmark = pytest.mark.django_db

PASSWORD = "correct horse battery"


def sign_up(client: Client, name: str, **fields: str) -> Any:
    body = {"username": name, "email": f"{name}@example.org", "password1": PASSWORD, "password2": PASSWORD, **fields}
    return client.post("/account/signup/", body)


def faults(response: Any, field: str = "username") -> str:
    assert response.status_code == 200
    return " ".join(response.context["form"].errors.get(field, []))


def test_sign_up_makes_the_account_signs_in_and_is_audited(client: Client) -> None:
    answer = sign_up(client, "grace")
    assert answer.status_code == 302
    person = User.objects.get(username="grace")
    assert client.session["_auth_user_id"] == str(person.pk)
    assert AuditEntry.objects.get(action="account.sign_up").actor == person
    assert not person.is_staff


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("admin", "addresses"),
        ("Static", "addresses"),
        ("mix", "addresses"),
        ("meta-llama", "publisher"),
        ("OpenAI", "publisher"),
        ("-ada", "letters, digits"),
        ("ada lovelace", "letters, digits"),
        ("ada/x", "letters, digits"),
        ("áda", "letters, digits"),
        ("x" * 40, ""),
    ],
)
def test_names_that_are_refused(client: Client, name: str, words: str) -> None:
    found = faults(sign_up(client, name, email="x@example.org"))
    assert found
    assert words in found
    assert not User.objects.exists()


@pytest.mark.parametrize("name", ["Ada-L", "ADA_L", "ada-l", "adal"])
def test_names_that_look_like_an_existing_one_are_refused(client: Client, make_person: Any, name: str) -> None:
    make_person("ada_l")
    assert faults(sign_up(client, name))
    assert User.objects.count() == 1


def test_weak_passwords_are_refused(client: Client) -> None:
    assert "10 characters" in faults(sign_up(client, "grace", password1="short", password2="short"), "password1")


def test_sign_up_can_be_closed(client: Client, settings: Any) -> None:
    settings.SIGNUP_OPEN = False
    sign_up(client, "grace")
    assert not User.objects.exists()


def test_sign_in_by_name_or_email_and_sign_out_by_post(client: Client, ada: User) -> None:
    for login in ("ada", "ada@example.org"):
        answer = client.post("/account/login/", {"login": login, "password": PASSWORD})
        assert answer.status_code == 302
        assert client.session["_auth_user_id"] == str(ada.pk)
        client.get("/account/logout/")
        assert "_auth_user_id" in client.session
        client.post("/account/logout/")
        assert "_auth_user_id" not in client.session


def test_guessing_a_password_is_throttled(client: Client, ada: User, settings: Any) -> None:
    settings.ACCOUNT_RATE_LIMITS = {"login_failed": "3/5m/key"}
    for _ in range(3):
        assert "_auth_user_id" not in client.session
        client.post("/account/login/", {"login": "ada", "password": "guess"})
    answer = client.post("/account/login/", {"login": "ada", "password": PASSWORD})
    assert "_auth_user_id" not in client.session
    assert "Too many" in str(answer.context["form"].errors)


def test_sign_ups_of_one_address_are_throttled(client: Client, settings: Any) -> None:
    settings.ACCOUNT_RATE_LIMITS = {"signup": "1/m/ip"}
    assert sign_up(client, "grace").status_code == 302
    second = Client()
    assert sign_up(second, "hedy").status_code == 429
    # A made-up header does not make another address.
    assert second.post("/account/signup/", {}, headers={"X-Forwarded-For": "10.1.2.3"}).status_code == 429
    assert User.objects.count() == 1


def test_password_reset_by_mail(client: Client, ada: User) -> None:
    client.post("/account/password/reset/", {"email": "ada@example.org"})
    [message] = mail.outbox
    assert message.to == ["ada@example.org"]
    assert message.subject.startswith("Brickyard: ")
    [path] = re.findall(r"http://[^/\s]+(/account/password/reset/key/\S+)", str(message.body))
    form = client.get(path, follow=True)
    client.post(form.redirect_chain[-1][0], {"password1": "another long phrase", "password2": "another long phrase"})
    ada.refresh_from_db()
    assert ada.check_password("another long phrase")
    assert AuditEntry.objects.filter(action="account.reset_password", actor=ada).exists()


def test_password_reset_does_not_tell_who_has_an_account(client: Client, ada: User) -> None:
    known = client.post("/account/password/reset/", {"email": "ada@example.org"})
    unknown = client.post("/account/password/reset/", {"email": "nobody@example.org"})
    assert (known.status_code, known["Location"]) == (unknown.status_code, unknown["Location"])


def test_pages_share_the_limits_of_rest(rf: Any, ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ReportThrottle, "THROTTLE_RATES", {"report": "2/hour", "report_anon": "1/hour"})
    request = rf.get("/")
    request.user = ada
    spend(request, ReportThrottle)
    spend(request, ReportThrottle)
    with pytest.raises(TooManyRequests) as caught:
        spend(request, ReportThrottle)
    assert 3500 < caught.value.extra["retry_after"] <= 3601


def test_the_admin_has_no_sign_in_of_its_own(client: Client, ada: User, make_person: Any) -> None:
    answer = client.get("/admin/login/?next=/admin/")
    assert answer.status_code == 302
    assert answer["Location"].startswith("/account/login/?next=")
    assert client.post("/admin/login/", {"username": "ada", "password": PASSWORD}).status_code == 302
    assert "_auth_user_id" not in client.session
    client.force_login(ada)
    assert client.get("/admin/", follow=True).status_code == 403
    client.force_login(make_person("clerk", is_staff=True))
    assert client.get("/admin/").status_code == 200


@pytest.mark.parametrize(
    "address",
    ["login/", "signup/", "password/reset/", "password/reset/done/", "confirm-email/", "inactive/"],
)
def test_pages_for_everybody_open(client: Client, db: None, address: str) -> None:
    page = client.get(f"/account/{address}")
    assert page.status_code == 200
    assert "Brickyard" in page.content.decode()


@pytest.mark.parametrize("address", ["", "logout/", "email/", "password/change/", "reauthenticate/"])
def test_pages_of_the_account_open_for_its_owner(client: Client, ada: User, address: str) -> None:
    assert client.get(f"/account/{address}").status_code in (302, 405) or address == "logout/"
    client.force_login(ada)
    assert client.get(f"/account/{address}").status_code == 200


def test_adding_and_removing_an_address_is_audited(client: Client, ada: User) -> None:
    client.force_login(ada)
    assert client.post("/account/email/", {"action_add": "", "email": "second@example.org"}).status_code == 302
    EmailAddress.objects.get(email="second@example.org")
    client.post("/account/email/", {"action_remove": "", "email": "second@example.org"})
    assert not EmailAddress.objects.filter(email="second@example.org").exists()
    entries = AuditEntry.objects.filter(actor=ada, action__contains="_email").order_by("pk")
    assert [entry.action for entry in entries] == ["account.add_email", "account.remove_email"]
