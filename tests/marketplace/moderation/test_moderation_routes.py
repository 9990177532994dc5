"""A decision holds on every route: nothing of a quarantined adapter gets out, and its owner cannot change it."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse

from marketplace.accounts.models import User
from marketplace.accounts.services import create_token
from marketplace.adapters.models import Adapter
from marketplace.moderation.services import decide

pytestmark = pytest.mark.django_db

API = "/api/v1/adapters/ada/poems/"
ROUTES = [
    ("get", API),
    ("get", f"{API}versions/"),
    ("get", f"{API}similar/"),
    ("get", f"{API}files/main/adapter_config.json"),
    ("head", f"{API}files/main/adapter_config.json"),
    ("get", f"{API}archive/main.zip"),
    ("post", f"{API}report/"),
    ("patch", API),
    ("delete", API),
    ("get", "/ada/poems"),
    ("get", "/ada/poems/versions"),
    ("get", "/ada/poems/archive/main.zip"),
    ("get", "/ada/poems/files/main/adapter_config.json"),
]
MEMBERS = {"members": [{"adapter": "ada/poems"}]}


def bearer(user: User) -> dict[str, str]:
    return {"Authorization": f"Bearer {create_token(user=user, name='t', scope='write')[1]}"}


@pytest.fixture
def adapter(make_adapter: Any, ada: User, moderator: User) -> Adapter:
    adapter = make_adapter(ada, "poems", base="m1")
    decide(moderator=moderator, adapter=adapter, action="quarantine", reason="Copied.")
    return adapter


@pytest.mark.parametrize("signed_in", [False, True])
@pytest.mark.parametrize(("method", "address"), ROUTES)
def test_others_find_nothing(
    client: Client, adapter: Adapter, bob: User, method: str, address: str, signed_in: bool
) -> None:
    if signed_in:
        client.force_login(bob)
    options = {"data": {"reason": "spam"}, "content_type": "application/json"} if method in ("post", "patch") else {}
    answer = getattr(client, method)(address, **options)
    expected = {404} if signed_in or method not in ("patch", "delete") else {401, 404}
    assert answer.status_code in expected


@pytest.mark.parametrize(
    ("address", "body"),
    [
        ("/api/v1/merges/check/", MEMBERS),
        ("/api/v1/merges/", {**MEMBERS, "name": "x", "method": "cat"}),
        ("/api/v1/generations/", {**MEMBERS, "prompt": "x", "stream": False}),
    ],
)
def test_others_cannot_use_it(client: Client, adapter: Adapter, bob: User, address: str, body: dict[str, Any]) -> None:
    answer = client.post(address, body, content_type="application/json", headers=bearer(bob))
    assert answer.status_code == 404


def test_owner_sees_it_with_the_reason_and_cannot_change_it(client: Client, adapter: Adapter, ada: User) -> None:
    headers = bearer(ada)
    shown = client.get(API, headers=headers).json()
    assert (shown["moderation"], shown["moderation_reason"]) == ("quarantined", "Copied.")
    for change in ({"title": "Other"}, {"visibility": "private"}):
        answer = client.patch(API, change, content_type="application/json", headers=headers)
        assert answer.status_code in (403, 409), change
    assert client.delete(API, headers=headers).status_code in (403, 409)
    merge = {**MEMBERS, "name": "x", "method": "cat"}
    assert client.post("/api/v1/merges/", merge, content_type="application/json", headers=headers).status_code == 409
    adapter.refresh_from_db()
    assert (adapter.title, adapter.visibility, adapter.deleted_at) == ("", "public", None)


def test_owner_reads_the_reason_on_the_page(client: Client, adapter: Adapter, ada: User) -> None:
    client.force_login(ada)
    assert "Copied." in client.get("/ada/poems").content.decode()


def test_moderators_see_it(client: Client, adapter: Adapter, moderator: User) -> None:
    client.force_login(moderator)
    assert client.get("/ada/poems").status_code == 200
    assert client.get(API).json()["moderation"] == "quarantined"


def test_every_list_of_the_admin_opens(client: Client, adapter: Adapter) -> None:
    client.force_login(User.objects.create_superuser("boss", password="x"))
    assert client.get("/admin/").status_code == 200
    names = set()
    for model in admin.site._registry:
        meta = model._meta
        names.add(meta.model_name)
        answer = client.get(reverse(f"admin:{meta.app_label}_{meta.model_name}_changelist"))
        assert answer.status_code == 200, meta.label
        row = model._default_manager.first()
        if row is not None:
            address = reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[row.pk])
            assert client.get(address).status_code == 200, address
    assert {"adapter", "report", "decision", "auditentry", "user", "token", "job", "base"} <= names
