"""Tokens: made once, shown once, scoped, expiring, revocable, audited."""

from __future__ import annotations

import datetime as dt
import hashlib
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from marketplace.accounts import services
from marketplace.accounts.models import Token, User
from marketplace.core.errors import Conflict, Invalid, NotFound
from marketplace.moderation.models import AuditEntry

pytestmark = pytest.mark.django_db


def bearer(secret: str) -> dict[str, Any]:
    return {"headers": {"Authorization": f"Bearer {secret}"}}


def test_secret_has_the_form_and_only_its_digest_is_stored(ada: User) -> None:
    token, secret = services.create_token(user=ada, name=" laptop ", scope="write")
    assert secret.startswith("by_")
    assert len(secret) == 43
    assert token.digest == hashlib.sha256(secret.encode()).hexdigest()
    assert (token.name, token.prefix) == ("laptop", secret[:8])
    row = " ".join(str(value) for value in Token.objects.filter(pk=token.pk).values()[0].values())
    assert secret not in row
    entry = AuditEntry.objects.get(action="token.create")
    assert (entry.actor, entry.target, entry.detail["scope"]) == (ada, f"ada/{secret[:8]}", "write")
    assert secret not in str(entry.detail)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": " ", "scope": "read"}, "name"),
        ({"name": "x" * 81, "scope": "read"}, "name"),
        ({"name": "x", "scope": "admin"}, "scope"),
        ({"name": "x", "scope": "read", "expires_at": dt.datetime(2020, 1, 1, tzinfo=dt.UTC)}, "expires_at"),
    ],
)
def test_faults_are_named(ada: User, fields: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as caught:
        services.create_token(user=ada, **fields)
    assert list(caught.value.extra["fields"]) == [field]
    assert not Token.objects.exists()


def test_there_is_a_limit_and_dead_tokens_do_not_count(ada: User) -> None:
    for number in range(services.MAX_LIVE_TOKENS):
        Token.objects.create(owner=ada, name="t", prefix="by_", digest=f"{number:064}")
    with pytest.raises(Conflict, match="limit"):
        services.create_token(user=ada, name="one more")
    Token.objects.filter(digest=f"{0:064}").update(expires_at=timezone.now())
    services.create_token(user=ada, name="one more")


def test_read_token_reads_and_cannot_write(client: Client, ada: User) -> None:
    _, secret = services.create_token(user=ada, name="ci")
    me = client.get("/api/v1/me/", **bearer(secret))
    assert me.status_code == 200
    assert (me.json()["username"], me.json()["scope"]) == ("ada", "read")
    assert me.json()["storage"] == {"used_bytes": 0, "quota_bytes": 10 * 1024**3}
    answer = client.patch("/api/v1/me/", {"display_name": "A"}, content_type="application/json", **bearer(secret))
    assert answer.status_code == 403
    assert answer.json()["message"] == "This needs a token with the scope “write”."


def test_write_token_writes_and_the_audit_log_names_it(client: Client, ada: User) -> None:
    token, secret = services.create_token(user=ada, name="ci", scope="write")
    answer = client.patch(
        "/api/v1/me/", {"display_name": "Ada  Lovelace"}, content_type="application/json", **bearer(secret)
    )
    assert answer.json()["display_name"] == "Ada Lovelace"
    entry = AuditEntry.objects.get(action="account.edit")
    assert entry.token_prefix == token.prefix
    assert entry.detail == {"fields": ["display_name"]}
    assert entry.request_id
    client.force_login(ada)
    client.patch("/api/v1/me/", {"display_name": "Ada"}, content_type="application/json")
    assert AuditEntry.objects.filter(action="account.edit").first().token_prefix == ""


@pytest.mark.parametrize("how", ["expired", "revoked", "inactive", "unknown"])
def test_dead_tokens_are_refused_even_for_reading(client: Client, ada: User, how: str) -> None:
    token, secret = services.create_token(user=ada, name="ci")
    if how == "expired":
        Token.objects.filter(pk=token.pk).update(expires_at=timezone.now())
    elif how == "revoked":
        services.revoke_token(user=ada, token=token)
    elif how == "inactive":
        User.objects.filter(pk=ada.pk).update(is_active=False)
    else:
        secret = "by_" + "x" * 40
    answer = client.get("/api/v1/me/", **bearer(secret))
    assert answer.status_code == 401
    assert answer.json()["code"] == "bad_token"
    assert answer["WWW-Authenticate"] == "Bearer"


def test_last_use_is_kept_by_the_minute(client: Client, ada: User) -> None:
    token, secret = services.create_token(user=ada, name="ci")
    client.get("/api/v1/me/", **bearer(secret))
    first = Token.objects.get(pk=token.pk).last_used_at
    assert first is not None
    client.get("/api/v1/me/", **bearer(secret))
    assert Token.objects.get(pk=token.pk).last_used_at == first
    Token.objects.filter(pk=token.pk).update(last_used_at=first - dt.timedelta(minutes=2))
    client.get("/api/v1/me/", **bearer(secret))
    assert Token.objects.get(pk=token.pk).last_used_at > first


def test_rest_round_trip_with_a_session(client: Client, ada: User) -> None:
    client.force_login(ada)
    made = client.post("/api/v1/tokens/", {"name": "ci", "scope": "write"}, content_type="application/json")
    assert made.status_code == 201
    assert made["Cache-Control"] == "no-store"
    secret = made.json()["secret"]
    listed = client.get("/api/v1/tokens/").json()
    assert [row["name"] for row in listed["results"]] == ["ci"]
    assert listed["next"] is None
    assert "secret" not in listed["results"][0]
    gone = client.delete(f"/api/v1/tokens/{made.json()['id']}/")
    assert gone.status_code == 204
    assert client.get("/api/v1/tokens/").json()["results"] == []
    assert Client().get("/api/v1/me/", **bearer(secret)).status_code == 401
    assert list(AuditEntry.objects.values_list("action", flat=True)) == ["token.revoke", "token.create"]


def test_a_token_cannot_make_a_token(client: Client, ada: User) -> None:
    _, secret = services.create_token(user=ada, name="ci", scope="write")
    answer = client.post("/api/v1/tokens/", {"name": "more"}, content_type="application/json", **bearer(secret))
    assert answer.status_code == 403
    assert "account page" in answer.json()["message"]


def test_tokens_of_others_do_not_exist(client: Client, ada: User, bob: User) -> None:
    token, _ = services.create_token(user=ada, name="ci")
    with pytest.raises(NotFound):
        services.revoke_token(user=bob, token=token)
    client.force_login(bob)
    assert client.delete(f"/api/v1/tokens/{token.pk}/").status_code == 404
    assert client.get("/api/v1/tokens/").json()["results"] == []
    assert client.get("/api/v1/me/").json()["scope"] == "session"


def test_anonymous_requests_are_told_to_sign_in(client: Client, db: None) -> None:
    for address in ("/api/v1/me/", "/api/v1/tokens/"):
        answer = client.get(address)
        assert answer.status_code == 401
        assert answer.json()["code"] == "not_authenticated"


def test_sessions_need_the_csrf_token(ada: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(ada)
    answer = client.post("/api/v1/tokens/", {"name": "ci"}, content_type="application/json")
    assert answer.status_code == 403
    assert "CSRF" in answer.json()["message"]


def test_pages_of_tokens(client: Client, ada: User) -> None:
    client.force_login(ada)
    for number in range(3):
        services.create_token(user=ada, name=f"t{number}")
    first = client.get("/api/v1/tokens/?limit=2").json()
    assert [row["name"] for row in first["results"]] == ["t2", "t1"]
    second = client.get(first["next"]).json()
    assert [row["name"] for row in second["results"]] == ["t0"]
    assert second["next"] is None
