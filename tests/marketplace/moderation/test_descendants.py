"""Quarantine that goes on to what was made from an adapter."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from marketplace.accounts.models import User
from marketplace.accounts.services import create_token
from marketplace.adapters.models import Adapter, Lineage
from marketplace.core.errors import Conflict, Forbidden
from marketplace.moderation import services
from marketplace.moderation.models import AuditEntry, Decision

pytestmark = pytest.mark.django_db


@pytest.fixture
def root(make_adapter: Any, ada: User, bob: User) -> Adapter:
    """ada/root → bob/child (private) → ada/grandchild; ada/other has nothing to do with it."""
    root, child = make_adapter(ada, "root"), make_adapter(bob, "child", visibility="private")
    grandchild = make_adapter(ada, "grandchild")
    make_adapter(ada, "other")
    Lineage.objects.create(child=child.current, parent=root.current, operation="svd")
    Lineage.objects.create(child=grandchild.current, parent=child.current, operation="svd")
    return root


def states() -> dict[str, str]:
    return dict(Adapter.objects.values_list("name", "moderation"))


def test_everything_made_from_it_goes_with_it(root: Adapter, moderator: User) -> None:
    made = services.quarantine_with_descendants(moderator=moderator, adapter=root, reason="Leaked data.")
    assert [decision.adapter.name for decision in made] == ["root", "child", "grandchild"]
    gone = "quarantined"
    assert states() == {"root": gone, "child": gone, "grandchild": gone, "other": "visible"}
    assert AuditEntry.objects.filter(action="adapter.quarantine").count() == 3
    reasons = {decision.adapter.name: decision.reason for decision in made}
    assert reasons["root"] == "Leaked data."
    assert "root" not in reasons["grandchild"]
    assert reasons["grandchild"].endswith("Leaked data.")


def test_descendants_can_follow_later(root: Adapter, moderator: User) -> None:
    services.decide(moderator=moderator, adapter=root, action="quarantine", reason="First.")
    made = services.quarantine_with_descendants(moderator=moderator, adapter=root, reason="Then.")
    assert [decision.adapter.name for decision in made] == ["child", "grandchild"]
    with pytest.raises(Conflict):
        services.quarantine_with_descendants(moderator=moderator, adapter=root, reason="Again.")


def test_all_or_nothing(root: Adapter, moderator: User, ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Forbidden):
        services.quarantine_with_descendants(moderator=ada, adapter=root, reason="Mine.")
    decide = services.decide

    def fails(**arguments: Any) -> Decision:
        if arguments["adapter"].name == "grandchild":
            raise Conflict("Somebody was faster.")
        return decide(**arguments)

    monkeypatch.setattr(services, "decide", fails)
    with pytest.raises(Conflict):
        services.quarantine_with_descendants(moderator=moderator, adapter=root, reason="x")
    assert set(states().values()) == {"visible"}
    assert not Decision.objects.exists()


def test_the_desk_lists_and_asks(root: Adapter, moderator: User, client: Client) -> None:
    client.force_login(moderator)
    address = f"/admin/adapters/adapter/decide/quarantine/?ids={root.pk}"
    page = client.get(address).content.decode()
    assert "ada/grandchild" in page
    assert "1 private adapter" in page
    assert "bob/child" not in page
    client.post(address, {"reason": "Only this."})
    assert states()["grandchild"] == "visible"
    services.decide(moderator=moderator, adapter=root, action="restore", reason="Back.")
    done = client.post(address, {"reason": "All.", "descendants": "on"}, follow=True)
    assert "3 decisions taken." in done.content.decode()
    assert states()["grandchild"] == states()["child"] == "quarantined"
    assert "everything that was made" not in client.get(address.replace("quarantine/", "restore/")).content.decode()


# --- REST -------------------------------------------------------------------------------------------------------------
REST = "/api/v1/moderation/adapters"


def quarantine(client: Client, name: str, **body: Any) -> Any:
    body = {"action": "quarantine", **body}
    return client.post(f"{REST}/{name}/decisions/", body, content_type="application/json")


def test_rest_lists_what_was_made_from_it(root: Adapter, moderator: User, ada: User, client: Client) -> None:
    """Names of what the moderator sees, and how many more there are; nothing for anybody else, the owner included."""
    address = f"{REST}/ada/root/descendants/"
    assert client.get(address).status_code == 401
    client.force_login(ada)
    assert client.get(address).status_code == 403
    client.force_login(moderator)
    found = client.get(address).json()
    assert [row["adapter"] for row in found["results"]] == ["ada/grandchild"]
    assert (found["hidden"], found["waiting"], found["next"]) == (1, 2, None)
    services.decide(moderator=moderator, adapter=Adapter.objects.get(name="grandchild"), action="remove", reason="x")
    found = client.get(f"{address}?limit=1").json()
    assert [row["moderation"] for row in found["results"]] == ["removed"]
    assert (found["hidden"], found["waiting"]) == (1, 1)
    assert client.get(f"{REST}/ada/other/descendants/").json()["results"] == []
    assert client.get(f"{REST}/ada/nobody/descendants/").status_code == 404


def test_rest_quarantines_it_alone_or_with_them(root: Adapter, moderator: User, ada: User, client: Client) -> None:
    client.force_login(ada)
    assert quarantine(client, "ada/root", reason="Mine.").status_code == 403
    client.force_login(moderator)
    alone = quarantine(client, "ada/root", reason="Leaked data.").json()
    assert [(row["adapter"], row["action"]) for row in alone["decisions"]] == [("ada/root", "quarantine")]
    assert states()["child"] == "visible"
    with_them = quarantine(client, "ada/root", reason="Leaked data.", descendants=True)
    assert with_them.status_code == 201
    assert [row["adapter"] for row in with_them.json()["decisions"]] == ["bob/child", "ada/grandchild"]
    assert states() == dict.fromkeys(("root", "child", "grandchild"), "quarantined") | {"other": "visible"}
    entries = AuditEntry.objects.filter(action="adapter.quarantine")
    assert {entry.actor for entry in entries} == {moderator}
    assert entries.count() == 3
    again = quarantine(client, "ada/root", reason="Again.", descendants=True)
    assert (again.status_code, again.json()["code"]) == (409, "moderation_state")
    assert quarantine(client, "ada/other", reason=" ").status_code == 400
    assert quarantine(client, "ada/other").json()["extra"]["fields"].keys() == {"reason"}


def test_rest_restores_one_by_one(root: Adapter, moderator: User, client: Client) -> None:
    client.force_login(moderator)
    assert quarantine(client, "ada/root", reason="Leaked data.", descendants=True).status_code == 201
    refused = quarantine(client, "ada/root", action="restore", reason="A mistake.", descendants=True)
    assert refused.json()["extra"]["fields"].keys() == {"descendants"}
    made = quarantine(client, "ada/root", action="restore", reason="A mistake.").json()["decisions"]
    assert [(row["adapter"], row["action"]) for row in made] == [("ada/root", "restore")]
    assert (states()["root"], states()["child"]) == ("visible", "quarantined")
    assert quarantine(client, "ada/root", action="dismiss", reason="x").json()["code"] == "no_open_report"


def test_rest_reaches_what_was_reported_and_then_made_private(root: Adapter, moderator: User, client: Client) -> None:
    child = Adapter.objects.get(name="child")
    client.force_login(moderator)
    assert client.get(f"{REST}/bob/child/descendants/").status_code == 404
    services.report_adapter(user=None, adapter=child, reason="illegal")
    assert client.get(f"{REST}/bob/child/descendants/").json()["waiting"] == 1
    made = quarantine(client, "bob/child", reason="Illegal.", descendants=True).json()["decisions"]
    assert [row["adapter"] for row in made] == ["bob/child", "ada/grandchild"]
    assert states()["root"] == "visible"


def test_rest_asks_a_reading_token_for_more(root: Adapter, moderator: User, client: Client) -> None:
    _, secret = create_token(user=moderator, name="t", scope="read")
    headers = {"Authorization": f"Bearer {secret}"}
    assert client.get(f"{REST}/ada/root/descendants/", headers=headers).status_code == 200
    body = {"action": "quarantine", "reason": "x", "descendants": True}
    answer = client.post(f"{REST}/ada/root/decisions/", body, content_type="application/json", headers=headers)
    assert answer.status_code == 403
    assert states()["root"] == "visible"
