"""Ancestors and descendants, as far as somebody may see them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from marketplace.accounts.models import User
from marketplace.adapters.lineage_graph import Node, descendant_ids, lineage_graph
from marketplace.adapters.models import Adapter, Lineage

MakeAdapter = Callable[..., Adapter]
pytestmark = pytest.mark.django_db


@pytest.fixture
def family(make_adapter: MakeAdapter, ada: User, bob: User) -> dict[str, Adapter]:
    """a and b made c; c and a made d; d made e."""
    found = {name: make_adapter(bob if name == "b" else ada, name) for name in "abcde"}
    for child, parents in (("c", "ab"), ("d", "ca"), ("e", "d")):
        for position, parent in enumerate(parents):
            Lineage.objects.create(
                child=found[child].current,
                parent=found[parent].current,
                operation="svd",
                weight=0.5,
                position=position,
            )
    return found


def drawn(nodes: list[Node]) -> Any:
    return [
        "…" if node.cut else (node.name.rpartition("/")[2] + ("*" if node.repeated else ""), drawn(node.nodes))
        for node in nodes
    ]


def test_both_ways(family: dict[str, Adapter], ada: User, django_assert_max_num_queries: Any) -> None:
    with django_assert_max_num_queries(16):
        graph = lineage_graph(user=ada, adapter=family["d"])
    assert drawn(graph.ancestors) == [("c", [("a*", []), ("b", [])]), ("a", [])]
    assert drawn(graph.descendants) == [("e", [])]
    above = lineage_graph(user=ada, adapter=family["a"])
    assert above.ancestors == []
    assert drawn(above.descendants) == [("d", [("e", [])]), ("c", [("d*", [])])]


def test_generations_end_where_they_are_told_to(family: dict[str, Adapter], ada: User) -> None:
    graph = lineage_graph(user=ada, adapter=family["e"], depth=1)
    assert drawn(graph.ancestors) == [("d", ["…"])]
    assert not lineage_graph(user=ada, adapter=family["a"], depth=1).ancestors


def test_hidden_ancestors_have_no_name_and_lead_no_further(family: dict[str, Adapter], bob: User) -> None:
    Adapter.objects.filter(name="c").update(visibility="private")
    graph = lineage_graph(user=bob, adapter=family["d"])
    assert drawn(graph.ancestors) == [("a private adapter", []), ("a", [])]
    assert drawn(lineage_graph(user=bob, adapter=family["b"]).descendants) == []


def test_pages_and_rest_show_it(family: dict[str, Adapter], client: Any) -> None:
    Adapter.objects.filter(name="b").update(visibility="private")
    page = client.get("/ada/e").content.decode()
    assert "Made from" in page
    assert "a private adapter" in page
    assert "bob/b" not in page
    read = client.get("/api/v1/adapters/ada/e/lineage/").json()
    [d] = read["ancestors"]
    assert [node["adapter"] for node in d["nodes"]] == ["ada/c", "ada/a"]
    assert [node["adapter"] for node in d["nodes"][0]["nodes"]] == ["ada/a", None]
    assert client.get("/api/v1/adapters/ada/e/lineage/?depth=99").status_code == 400
    assert client.get("/api/v1/adapters/ada/e/lineage/?depth=1").json()["ancestors"][0]["nodes"] == [{"more": True}]


def test_descendants_for_moderation_are_all_of_them(family: dict[str, Adapter]) -> None:
    Adapter.objects.filter(name="c").update(visibility="private")
    ids = {adapter.pk: name for name, adapter in family.items()}
    assert sorted(ids[pk] for pk in descendant_ids([family["b"].pk])) == ["c", "d", "e"]
    assert descendant_ids([family["e"].pk]) == []
