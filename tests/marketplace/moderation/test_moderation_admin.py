"""The moderators' desk: who gets in, and the page that asks for the reason."""

from __future__ import annotations

from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.contrib.auth.models import Group
from django.test import Client

from marketplace.accounts.models import User
from marketplace.adapters.models import Adapter
from marketplace.moderation import audit, services
from marketplace.moderation.models import AuditEntry, Decision, Report
from marketplace.playground.models import Usage

pytestmark = pytest.mark.django_db

ADAPTERS = "/admin/adapters/adapter/"


@pytest.fixture
def adapter(make_adapter: Any, ada: User) -> Adapter:
    return make_adapter(ada, "poems", title="Poems")


@pytest.fixture
def desk(client: Client, moderator: User) -> Client:
    client.force_login(moderator)
    return client


def test_staff_without_the_permission_sees_nothing(client: Client, make_person: Any, adapter: Adapter) -> None:
    client.force_login(make_person("clerk", is_staff=True))
    for address in (ADAPTERS, "/admin/moderation/report/", "/admin/moderation/auditentry/"):
        assert client.get(address).status_code == 403
    assert client.post(f"{ADAPTERS}decide/quarantine/?ids={adapter.pk}", {"reason": "x"}).status_code == 403
    adapter.refresh_from_db()
    assert adapter.moderation == "visible"


def test_people_without_staff_status_are_sent_to_sign_in(client: Client, ada: User) -> None:
    client.force_login(ada)
    assert client.get(ADAPTERS).status_code == 302


def test_quarantine_through_the_list(desk: Client, adapter: Adapter, moderator: User) -> None:
    services.report_adapter(user=None, adapter=adapter, reason="spam")
    listed = desk.get(ADAPTERS).content.decode()
    assert "ada/poems" in listed
    assert "Quarantine…" in listed
    asked = desk.post(ADAPTERS, {"action": "quarantine", "_selected_action": [adapter.pk]}, follow=True)
    page = asked.content.decode()
    assert "Quarantine 1 adapter" in page
    assert "The owner reads this." in page
    address = asked.redirect_chain[-1][0]
    empty = desk.post(address, {"reason": ""})
    assert "This field is required" in empty.content.decode()
    assert not Decision.objects.exists()
    done = desk.post(address, {"reason": "Copied."}, follow=True)
    assert "1 decision taken." in done.content.decode()
    adapter.refresh_from_db()
    assert adapter.moderation == "quarantined"
    decision = Decision.objects.get()
    assert (decision.moderator, decision.reason) == (moderator, "Copied.")


def test_several_at_once_and_the_impossible_ones_are_named(
    desk: Client, adapter: Adapter, make_adapter: Any, ada: User
) -> None:
    other = make_adapter(ada, "other", moderation="quarantined")
    answer = desk.post(f"{ADAPTERS}decide/quarantine/?ids={adapter.pk},{other.pk}", {"reason": "Both."}, follow=True)
    page = answer.content.decode()
    assert "1 decision taken." in page
    assert "ada/other is quarantined, so it cannot be quarantined." in page


def test_adapter_page_offers_what_its_state_allows(desk: Client, adapter: Adapter) -> None:
    page = desk.get(f"{ADAPTERS}{adapter.pk}/change/").content.decode()
    assert "decide/quarantine/" in page
    assert "decide/restore/" not in page
    Adapter.objects.filter(pk=adapter.pk).update(moderation="quarantined")
    page = desk.get(f"{ADAPTERS}{adapter.pk}/change/").content.decode()
    assert "decide/quarantine/" not in page
    assert "decide/restore/" in page


def test_reports_lead_to_decisions_on_their_adapters(desk: Client, adapter: Adapter) -> None:
    report = services.report_adapter(user=None, adapter=adapter, reason="other", text="Look at this.")
    assert "Look at this." in desk.get("/admin/moderation/report/").content.decode()
    asked = desk.post("/admin/moderation/report/", {"action": "dismiss", "_selected_action": [report.pk]})
    assert asked["Location"] == f"{ADAPTERS}decide/dismiss/?ids={adapter.pk}"
    desk.post(asked["Location"], {"reason": "Fine."})
    report.refresh_from_db()
    assert report.state == "closed"


def test_nothing_can_be_changed_or_deleted_by_hand(desk: Client, adapter: Adapter) -> None:
    entry = audit.record(actor=None, action="test.write", target="x")
    for address in (
        f"{ADAPTERS}add/",
        f"{ADAPTERS}{adapter.pk}/delete/",
        "/admin/moderation/auditentry/add/",
        f"/admin/moderation/auditentry/{entry.pk}/delete/",
    ):
        assert desk.get(address).status_code == 403, address
    assert desk.post(f"/admin/moderation/auditentry/{entry.pk}/change/", {"action": "x"}).status_code == 403
    assert desk.get(f"/admin/moderation/auditentry/{entry.pk}/change/").status_code == 200
    assert desk.get("/admin/moderation/decision/").status_code == 200


def test_unknown_action_or_no_adapter_goes_back_with_words(desk: Client, adapter: Adapter) -> None:
    for address in ("decide/burn/?ids=1", "decide/quarantine/?ids=", "decide/quarantine/?ids=999999,x"):
        assert "Choose at least one adapter" in desk.get(ADAPTERS + address, follow=True).content.decode()


def test_private_adapters_are_not_the_moderators(desk: Client, make_adapter: Any, ada: User, moderator: User) -> None:
    """The same rule as on the site; what was moderated stays in sight, and reports are not escaped by hiding."""
    secret = make_adapter(ada, "secret", visibility="private")
    make_adapter(ada, "frozen", visibility="private", moderation="quarantined")
    make_adapter(moderator, "own", visibility="private")
    listed = desk.get(ADAPTERS).content.decode()
    assert "ada/secret" not in listed
    assert "ada/frozen" in listed
    assert "mo/own" in listed
    assert desk.get(f"{ADAPTERS}{secret.pk}/change/").status_code == 302
    decide = f"{ADAPTERS}decide/quarantine/?ids={secret.pk}"
    assert "ada/secret" not in desk.get(decide, follow=True).content.decode()
    Report.objects.create(adapter=secret, reason="spam")
    assert "ada/secret" in desk.get(decide).content.decode()
    assert "ada/secret" not in desk.get(ADAPTERS).content.decode()
    desk.force_login(User.objects.create_superuser("boss", password="x"))
    assert "ada/secret" in desk.get(ADAPTERS).content.decode()
    assert desk.get(f"{ADAPTERS}{secret.pk}/change/").status_code == 200


def test_groups_and_addresses_are_changed_with_a_word_in_the_audit_log(client: Client, ada: User) -> None:
    boss = User.objects.create_superuser("boss", password="x")
    client.force_login(boss)
    client.post("/admin/auth/group/add/", {"name": "Helpers"})
    group = Group.objects.get(name="Helpers")
    client.post(f"/admin/auth/group/{group.pk}/change/", {"name": "Aides"})
    client.post(f"/admin/auth/group/{group.pk}/delete/", {"post": "yes"})
    assert not Group.objects.filter(name="Aides").exists()
    client.post("/admin/account/emailaddress/add/", {"user": ada.pk, "email": "a@example.org"})
    address = EmailAddress.objects.get(email="a@example.org")
    changelist = "/admin/account/emailaddress/"
    client.post(changelist, {"action": "make_verified", "_selected_action": [address.pk]})
    client.post(changelist, {"action": "delete_selected", "_selected_action": [address.pk], "post": "yes"})
    assert not EmailAddress.objects.filter(email="a@example.org").exists()
    entries = AuditEntry.objects.order_by("pk").values_list("action", flat=True)
    assert [action for action in entries if action.startswith(("group", "emailaddress", "account.confirm"))] == [
        "group.admin_add",
        "group.admin_change",
        "group.admin_delete",
        "emailaddress.admin_add",
        "account.confirm_email",
        "emailaddress.admin_delete",
    ]
    assert AuditEntry.objects.get(action="account.confirm_email").actor == boss
    assert client.get("/admin/account/emailconfirmation/").status_code == 404


def test_usage_can_only_be_read(client: Client, ada: User) -> None:
    client.force_login(User.objects.create_superuser("boss", password="x"))
    usage = Usage.objects.create(user=ada, request="r1")
    assert client.get("/admin/playground/usage/").status_code == 200
    assert client.post(f"/admin/playground/usage/{usage.pk}/delete/", {"post": "yes"}).status_code == 403
    chosen = {"action": "delete_selected", "_selected_action": [usage.pk], "post": "yes"}
    client.post("/admin/playground/usage/", chosen)
    assert Usage.objects.filter(pk=usage.pk).exists()


def test_admin_writes_on_accounts_are_audited(client: Client, ada: User) -> None:
    boss = User.objects.create_superuser("boss", password="x")
    client.force_login(boss)
    form = client.get(f"/admin/accounts/user/{ada.pk}/change/").context["adminform"].form
    data = {name: form.initial.get(name) or "" for name in form.fields if name not in ("password", "is_active")}
    data |= {"display_name": "Countess", "quota_bytes": "5", "groups": [], "user_permissions": []}
    answer = client.post(f"/admin/accounts/user/{ada.pk}/change/", data)
    assert answer.status_code == 302, answer.context["adminform"].errors
    ada.refresh_from_db()
    assert (ada.display_name, ada.is_active, ada.quota_bytes) == ("Countess", False, 5)
    entry = AuditEntry.objects.get(action="user.admin_change")
    assert (entry.actor, entry.target) == (boss, "ada")
    assert client.get(f"/admin/accounts/user/{ada.pk}/delete/").status_code == 403


def test_operators_cannot_give_out_addresses_of_the_site(client: Client, db: None) -> None:
    client.force_login(User.objects.create_superuser("boss", password="x"))
    body = {"username": "api", "password1": "correct horse battery", "password2": "correct horse battery"}
    answer = client.post("/admin/accounts/user/add/", {**body, "usable_password": "true"})
    assert "addresses" in str(answer.context["adminform"].errors)
    client.post("/admin/accounts/user/add/", {**body, "username": "official", "usable_password": "true"})
    assert User.objects.filter(username="official").exists()
    assert AuditEntry.objects.filter(action="user.admin_add", target="official").exists()
