"""Addresses, settings, versions and the account page, as a browser without scripts has them."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from marketplace.accounts.models import User
from marketplace.accounts.services import create_token
from marketplace.adapters import services
from marketplace.adapters.models import Adapter, Transfer
from tests.marketplace.adapters.conftest import MakeUpload
from tests.marketplace.adapters.life.conftest import Publish, merge_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def adapter(ada: User, publish: Publish) -> Adapter:
    return publish(ada, "plural", description="Of nouns.")


def _text(answer: Any) -> str:
    return " ".join(answer.content.decode().split())


def test_old_addresses_redirect_with_what_is_below(client: Client, ada: User, adapter: Adapter) -> None:
    services.rename_adapter(user=ada, adapter=adapter, name="nouns")
    for below in ("", "/versions", "/archive/main.zip", "/files/main/adapter_config.json?x=1", "/card"):
        answer = client.get(f"/ada/plural{below}")
        assert (answer.status_code, answer["Location"]) == (302, f"/ada/nouns{below}")
        assert "no-store" in answer["Cache-Control"]
    assert client.head("/ADA/Plural/versions")["Location"] == "/ada/nouns/versions"
    body = b"".join(client.get("/ada/plural/files/main/adapter_config.json", follow=True).streaming_content)
    assert body.startswith(b"{")
    # REST answers under the old address, with the name of today.
    assert client.get("/api/v1/adapters/ada/plural/").json()["full_name"] == "ada/nouns"
    assert client.get("/api/v1/adapters/ada/plural/archive/main.zip").status_code == 200


def test_old_addresses_of_what_is_hidden_say_nothing(client: Client, ada: User, bob: User, adapter: Adapter) -> None:
    services.rename_adapter(user=ada, adapter=adapter, name="nouns")
    services.set_visibility(user=ada, adapter=adapter, visibility="private")
    client.force_login(bob)
    never, former = client.get("/ada/never/versions"), client.get("/ada/plural/versions")
    assert (former.status_code, never.status_code) == (404, 404)
    assert _text(former).replace("plural", "never").partition("Request")[0] == _text(never).partition("Request")[0]


def test_the_settings_page_renames_and_offers(client: Client, ada: User, bob: User, adapter: Adapter) -> None:
    client.force_login(ada)
    page = _text(client.get("/ada/plural/settings"))
    assert "The old address goes on leading here" in page
    answer = client.post("/ada/plural/settings/name", {"name": "no/name"})
    assert answer.status_code == 422
    assert "Use 1 to 96 letters" in _text(answer)
    answer = client.post("/ada/plural/settings/name", {"name": "nouns"}, follow=True)
    assert "ada/plural is ada/nouns now" in _text(answer)
    answer = client.post("/ada/nouns/settings/offer", {"receiver": "nobody"})
    assert (answer.status_code, "There is nobody named nobody" in _text(answer)) == (422, True)
    answer = client.post("/ada/nouns/settings/offer", {"receiver": "bob"}, follow=True)
    assert "Offered to bob" in _text(answer)
    client.post("/ada/nouns/settings/offer/withdraw")
    assert Transfer.objects.get().state == "withdrawn"
    client.force_login(bob)
    assert client.get("/ada/nouns/settings").status_code == 403
    assert client.post("/ada/nouns/settings/name", {"name": "mine"}).status_code == 403


def test_offers_are_answered_on_the_account_page(client: Client, ada: User, bob: User, adapter: Adapter) -> None:
    offer = services.offer_transfer(user=ada, adapter=adapter, receiver="bob")
    merge_of(bob, "plural", adapter)
    client.force_login(ada)
    assert "waiting for their answer" in _text(client.get("/account/"))
    client.post(f"/account/offers/{offer.pk}", {"answer": "accept"})
    offer.refresh_from_db()
    assert offer.state == "waiting"
    client.force_login(bob)
    page = _text(client.get("/account/"))
    assert "Take it over as" in page
    answer = client.post(f"/account/offers/{offer.pk}", {"answer": "accept"}, follow=True)
    assert "already have an adapter named plural" in _text(answer)
    answer = client.post(f"/account/offers/{offer.pk}", {"answer": "accept", "name": "nouns"}, follow=True)
    assert "bob/nouns is yours now" in _text(answer)
    assert client.get("/ada/plural")["Location"] == "/bob/nouns"


def test_delete_tombstone_restore(client: Client, ada: User, bob: User, adapter: Adapter) -> None:
    child = merge_of(bob, "child", adapter)
    client.force_login(ada)
    assert client.post("/ada/plural/delete", follow=True).status_code == 200
    assert "can be restored until" in _text(client.get("/account/"))
    answer = client.get("/ada/plural")
    assert (answer.status_code, "Restore plural" in _text(answer)) == (410, True)
    client.force_login(bob)
    for below in ("", "/versions", "/files/main/README.md"):
        answer = client.get(f"/ada/plural{below}")
        assert answer.status_code == 410
        assert "Only ada can restore it" in _text(answer)
        assert "bob/</span>child" in _text(answer)
    assert client.post("/ada/plural/restore").status_code == 404
    lineage = _text(client.get(child.get_absolute_url()))
    assert "deleted adapter" in lineage
    assert adapter.current is not None
    assert adapter.current.commit[:8] in lineage
    api = client.get("/api/v1/adapters/bob/child/").json()["lineage"]["parents"]
    assert [(row["adapter"], row["deleted"]) for row in api] == [("ada/plural", True)]
    client.force_login(ada)
    answer = client.post("/ada/plural/restore", follow=True)
    assert "ada/plural is back, and public" in _text(answer)


def test_versions_are_yanked_and_deprecated_on_their_page(
    client: Client, ada: User, bob: User, adapter: Adapter, make_upload: MakeUpload
) -> None:
    services.publish_upload(user=ada, upload=make_upload(ada, seed=1), adapter=adapter, message="Second")
    first, second = adapter.versions.order_by("pk")
    client.force_login(bob)
    assert "Yank or deprecate" not in _text(client.get("/ada/plural/versions"))
    assert client.post(f"/ada/plural/versions/{second.commit}/yank", {"reason": "x"}).status_code == 403
    client.force_login(ada)
    answer = client.post(f"/ada/plural/versions/{second.commit}/yank", {"reason": ""})
    assert (answer.status_code, "This field is required" in _text(answer)) == (422, True)
    answer = client.post(f"/ada/plural/versions/{second.commit}/yank", {"reason": "Forgets vowels."}, follow=True)
    assert "<b>Yanked.</b> Forgets vowels." in _text(answer)
    body = {"message": "Slow.", "superseded_by": "ada/nothing"}
    answer = client.post(f"/ada/plural/versions/{first.commit}/deprecate", body)
    assert answer.status_code == 422
    services.unyank_version(user=ada, version=second)
    body["superseded_by"] = second.commit
    client.post(f"/ada/plural/versions/{first.commit}/deprecate", body)
    client.post(f"/ada/plural/versions/{second.commit}/deprecate", {"message": "Old."})
    page = _text(client.get("/ada/plural"))
    assert "<b>Deprecated.</b> Old." in page
    assert "Deprecated. Old." in _text(client.get("/combine/?with=ada/plural"))
    assert "Deprecated. Old." in _text(client.get("/playground/?with=ada/plural"))
    client.post(f"/ada/plural/versions/{second.commit}/undeprecate")
    assert "<b>Deprecated.</b> Old." not in _text(client.get("/ada/plural"))


def test_downloads_say_what_is_wrong_with_a_version(
    client: Client, ada: User, adapter: Adapter, make_upload: MakeUpload
) -> None:
    services.publish_upload(user=ada, upload=make_upload(ada, seed=1), adapter=adapter, message="Second")
    first, second = adapter.versions.order_by("pk")
    services.deprecate_version(user=ada, version=first, superseded_by=second.commit)
    files = "/api/v1/adapters/ada/plural/files"
    answer = client.get(f"{files}/{first.commit}/README.md")
    first.refresh_from_db()
    assert first.deprecated_at is not None
    assert answer["Deprecation"] == f"@{int(first.deprecated_at.timestamp())}"
    successor = f'</api/v1/adapters/ada/plural/archive/{second.commit}.zip>; rel="successor-version"'
    assert successor in answer["Link"]
    assert "Deprecation" not in client.get(f"{files}/main/README.md")
    for version in (first, second):
        services.yank_version(user=ada, version=version, reason="Vergisst Umlaute: äöü.")
    answer = client.get(f"{files}/main/README.md")
    assert (answer.status_code, answer.json()["code"]) == (409, "yanked")
    answer = client.get(f"{files}/{answer.json()['extra']['commit']}/README.md")
    assert answer.status_code == 200
    assert answer["X-Yanked"].startswith("Vergisst Umlaute: %C3%A4")
    assert client.get("/api/v1/adapters/").json()["total"] == 0
    seen = client.get("/api/v1/adapters/ada/plural/").json()
    assert (seen["yanked"], seen["deprecated"]) == (True, False)


def test_rest(client: Client, ada: User, bob: User, adapter: Adapter) -> None:
    mine, theirs = (
        {"Authorization": f"Bearer {create_token(user=user, name='x', scope='write')[1]}"} for user in (ada, bob)
    )
    root, kind = "/api/v1/adapters/ada/plural/", "application/json"
    commit = adapter.versions.get().commit
    answer = client.put(f"{root}versions/{commit}/yank/", {"reason": "Bad."}, kind, headers=mine)
    assert answer.json()["yank_reason"] == "Bad."
    assert client.delete(f"{root}versions/{commit}/yank/", headers=mine).json()["yanked_at"] is None
    answer = client.put(f"{root}versions/{commit}/deprecation/", {"message": "Old."}, kind, headers=mine)
    assert (answer.json()["deprecation"], answer.json()["superseded_by"]) == ("Old.", None)
    assert client.delete(f"{root}versions/{commit}/deprecation/", headers=mine).json()["deprecated_at"] is None
    assert client.post(f"{root}transfer/", {"receiver": "bob"}, kind, headers=mine).status_code == 201
    assert client.delete(f"{root}transfer/", headers=mine).json()["state"] == "withdrawn"
    assert client.delete(f"{root}transfer/", headers=mine).status_code == 404
    offer = client.post(f"{root}transfer/", {"receiver": "bob"}, kind, headers=mine).json()
    answer = client.post(f"/api/v1/transfers/{offer['id']}/decline/", headers=theirs)
    assert answer.json()["state"] == "declined"
    offer = client.post(f"{root}transfer/", {"receiver": "bob"}, kind, headers=mine).json()
    listed = client.get("/api/v1/transfers/", headers=theirs).json()["results"]
    assert [row["state"] for row in listed] == ["waiting", "declined", "withdrawn"]
    assert client.post(f"/api/v1/transfers/{offer['id']}/accept/", {}, kind, headers=mine).status_code == 404
    answer = client.post(f"/api/v1/transfers/{offer['id']}/accept/", {}, kind, headers=theirs)
    assert answer.json()["full_name"] == "bob/plural"
    answer = client.post(f"{root}rename/", {"name": "nouns"}, kind, headers=theirs)
    assert answer.json()["full_name"] == "bob/nouns"
    assert client.delete("/api/v1/adapters/bob/nouns/", headers=theirs).status_code == 204
    assert client.get(root).json()["extra"]["adapter"] == "bob/nouns"
    deleted = client.get("/api/v1/me/deleted/", headers=theirs).json()["results"]
    assert [row["full_name"] for row in deleted] == ["bob/nouns"]
    assert client.post("/api/v1/adapters/bob/nouns/restore/", headers=mine).status_code == 404
    assert client.post("/api/v1/adapters/bob/nouns/restore/", headers=theirs).json()["visibility"] == "public"
    for address in ("transfers/", "me/deleted/"):
        assert client.get(f"/api/v1/{address}").status_code == 401
