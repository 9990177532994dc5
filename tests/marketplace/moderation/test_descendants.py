"""Quarantine that goes on to what was made from an adapter."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from marketplace.accounts.models import User
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
