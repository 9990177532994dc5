"""The access page as its owner, askers and collaborators see it, and the account page."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from marketplace.accounts.models import User
from marketplace.adapters.models import AccessRequest, Adapter, ExamplePrompt

pytestmark = pytest.mark.django_db
PAGE = "/ada/poems/access"


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def text(client: Client, address: str) -> str:
    answer = client.get(address)
    assert answer.status_code == 200, address
    return answer.content.decode()


def test_a_stranger_reads_the_terms_and_signs_in_to_ask(client: Client, gated: Adapter) -> None:
    page = text(client, "/ada/poems")
    assert "This adapter is gated." in page
    assert "archive/main.zip" not in page.split("Use it elsewhere")[0]
    asked = text(client, PAGE)
    assert "Only for <em>research</em>." in asked
    assert "/account/login/?next=%2Fada%2Fpoems%2Faccess" in asked
    answer = client.post(f"{PAGE}/request", {"agree": "on"})
    assert (answer.status_code, answer["Location"]) == (302, "/account/login/?next=%2Fada%2Fpoems%2Faccess")


def test_the_whole_way(gated: Adapter, ada: User, bob: User) -> None:
    asker, owner = signed_in(bob), signed_in(ada)
    refused = asker.post(f"{PAGE}/request", {"message": "For my thesis."})
    assert refused.status_code == 422
    assert "Agree to the terms" in refused.content.decode()
    assert asker.post(f"{PAGE}/request", {"message": "For my thesis.", "agree": "on"}).status_code == 302
    assert "Your request waits" in text(asker, PAGE)
    assert "1 person asks for access" in text(owner, "/ada/poems")
    assert "bob" in text(owner, "/account/")
    assert "For my thesis." in text(owner, PAGE)
    decision = {"asker": "bob", "decision": "approve", "answer": "Welcome."}
    assert owner.post(f"{PAGE}/answer", decision).status_code == 302
    assert "Welcome." in text(asker, PAGE)
    assert "archive/main.zip" in text(asker, "/ada/poems")
    assert "ada/</span>poems" in text(asker, "/account/")
    owner.post(f"{PAGE}/answer", {"asker": "bob", "decision": "refuse", "answer": "It is over."})
    assert "It is over." in text(asker, PAGE)
    assert asker.get("/ada/poems/archive/main.zip").status_code == 403


def test_downloads_say_where_to_ask(client: Client, gated: Adapter) -> None:
    answer = client.get("/api/v1/adapters/ada/poems/files/main/adapter_config.json")
    assert answer.status_code == 403
    assert answer.json()["code"] == "access_required"
    assert answer.json()["extra"] == {"ask_at": PAGE}


def test_examples_of_a_gated_adapter_are_for_those_let_in(gated: Adapter, bob: User, client: Client) -> None:
    ExamplePrompt.objects.create(adapter=gated, prompt="Roses are", public=True)
    assert client.get("/api/v1/adapters/ada/poems/").json()["examples"] == []
    assert "Roses are" not in text(client, "/ada/poems")
    AccessRequest.objects.create(adapter=gated, user=bob, state="approved")
    assert "Roses are" in text(signed_in(bob), "/ada/poems")


def test_the_owner_opens_and_closes(gated: Adapter, ada: User) -> None:
    owner = signed_in(ada)
    form = {"visibility": "private", "terms": "New <script>terms</script>."}
    assert owner.post(f"{PAGE}/openness", form).status_code == 302
    gated.refresh_from_db()
    assert (gated.visibility, gated.gate_terms) == ("private", "New <script>terms</script>.")
    assert owner.post(f"{PAGE}/openness", {"visibility": "open"}).status_code == 422
    assert owner.post(f"{PAGE}/openness", {"visibility": "gated", "terms": form["terms"]}).status_code == 302
    assert "<script>terms" not in text(Client(), PAGE)


def test_collaborators_on_the_page(gated: Adapter, ada: User, bob: User) -> None:
    owner, writer = signed_in(ada), signed_in(bob)
    assert owner.post(f"{PAGE}/collaborators", {"username": "nobody", "role": "read"}).status_code == 422
    assert owner.post(f"{PAGE}/collaborators", {"username": "bob", "role": "read"}).status_code == 302
    assert owner.post(f"{PAGE}/collaborators/bob", {"role": "write"}).status_code == 302
    assert "You may change it" in text(writer, "/ada/poems")
    assert "Who may have it" not in text(writer, "/ada/poems/edit")
    assert "ada works on it with you" in text(writer, PAGE)
    assert writer.post(f"{PAGE}/openness", {"visibility": "public"}).status_code == 403
    assert writer.post(f"{PAGE}/collaborators/bob").status_code == 302
    assert not gated.collaborators.exists()


def test_a_writer_edits_the_card_and_not_the_visibility(gated: Adapter, bob: User, client: Client) -> None:
    gated.collaborators.create(user=bob, role="write")
    client.force_login(bob)
    address = "/api/v1/adapters/ada/poems/"
    answer = client.patch(address, {"visibility": "public"}, content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert client.delete(address).status_code == 403


def test_a_private_adapter_shows_nothing(gated: Adapter, bob: User) -> None:
    Adapter.objects.update(visibility="private")
    stranger = signed_in(bob)
    assert stranger.get(PAGE).status_code == 404
    assert stranger.post(f"{PAGE}/request", {"agree": "on"}).status_code == 404


def test_requests_are_limited(gated: Adapter, bob: User, monkeypatch: Any) -> None:
    monkeypatch.setattr("marketplace.accounts.throttling.AccessThrottle.THROTTLE_RATES", {"access": "2/hour"})
    asker = signed_in(bob)
    states = [asker.post(f"{PAGE}/request", {"agree": "on"}).status_code for _ in range(3)]
    assert states == [302, 302, 422]
