"""REST for access."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from marketplace.accounts.models import User
from marketplace.accounts.services import create_token
from marketplace.adapters.models import Adapter

pytestmark = pytest.mark.django_db
ADAPTER = "/api/v1/adapters/ada/poems"


@pytest.fixture
def call(client: Client) -> Any:
    """``call(user, method, address, body, scope)`` with a token of the user's."""

    def ask(user: User | None, method: str, address: str, body: Any = None, *, scope: str = "write") -> Any:
        headers = {}
        if user is not None:
            headers["Authorization"] = f"Bearer {create_token(user=user, name='t', scope=scope)[1]}"
        options = {} if body is None else {"data": body, "content_type": "application/json"}
        return getattr(client, method)(address, headers=headers, **options)

    return ask


def test_ask_and_answer(call: Any, gated: Adapter, ada: User, bob: User) -> None:
    shown = call(None, "get", f"{ADAPTER}/access/").json()
    assert shown == {
        "visibility": "gated",
        "terms": "Only for *research*.",
        "rights": ["list", "view"],
        "role": "",
        "request": None,
    }
    assert call(None, "post", f"{ADAPTER}/access/", {"agree": True}).status_code == 401
    assert call(bob, "post", f"{ADAPTER}/access/", {"agree": True}, scope="read").status_code == 403
    assert call(bob, "post", f"{ADAPTER}/access/", {}).json()["code"] == "invalid"
    asked = call(bob, "post", f"{ADAPTER}/access/", {"agree": True, "message": "For my thesis."})
    assert (asked.status_code, asked.json()["state"]) == (201, "waiting")
    assert call(ada, "get", f"{ADAPTER}/access/requests/?state=waiting").json()["results"][0]["username"] == "bob"
    assert call(ada, "get", "/api/v1/me/access-requests/?to=me").json()["results"][0]["adapter"] == "ada/poems"
    assert call(bob, "get", f"{ADAPTER}/access/requests/").status_code == 403
    answer = call(ada, "patch", f"{ADAPTER}/access/requests/bob/", {"state": "approved", "answer": "Welcome."})
    assert answer.json()["answer"] == "Welcome."
    mine = call(bob, "get", f"{ADAPTER}/access/").json()
    assert (mine["request"]["state"], "download" in mine["rights"]) == ("approved", True)
    assert call(bob, "get", "/api/v1/me/shared/").json()["results"][0]["full_name"] == "ada/poems"
    assert call(bob, "get", "/api/v1/me/access-requests/").json()["results"][0]["state"] == "approved"
    assert call(bob, "delete", f"{ADAPTER}/access/").status_code == 204
    assert call(bob, "get", f"{ADAPTER}/archive/main.zip").json()["code"] == "access_required"


def test_openness(call: Any, gated: Adapter, ada: User, bob: User) -> None:
    changed = call(ada, "patch", f"{ADAPTER}/access/", {"visibility": "private", "terms": "None."})
    assert (changed.json()["visibility"], changed.json()["terms"]) == ("private", "None.")
    assert call(bob, "patch", f"{ADAPTER}/access/", {"visibility": "public"}).status_code == 404


def test_collaborators(call: Any, gated: Adapter, ada: User, bob: User) -> None:
    added = call(ada, "post", f"{ADAPTER}/collaborators/", {"username": "bob"})
    assert (added.status_code, added.json()["role"]) == (201, "read")
    changed = call(ada, "patch", f"{ADAPTER}/collaborators/bob/", {"role": "write"})
    assert changed.json()["role"] == "write"
    assert [row["username"] for row in call(ada, "get", f"{ADAPTER}/collaborators/").json()] == ["bob"]
    assert call(bob, "get", f"{ADAPTER}/collaborators/").status_code == 403
    assert call(bob, "get", f"{ADAPTER}/access/").json()["role"] == "write"
    assert call(bob, "delete", f"{ADAPTER}/collaborators/bob/").status_code == 204
    assert call(ada, "delete", f"{ADAPTER}/collaborators/bob/").status_code == 404


def test_lists_of_one_person_need_one(call: Any, gated: Adapter) -> None:
    for address in ("/api/v1/me/shared/", "/api/v1/me/access-requests/", f"{ADAPTER}/collaborators/"):
        assert call(None, "get", address).status_code == 401, address
