"""What changed between two versions: values against plain definitions, rights, page and REST."""

from __future__ import annotations

import difflib
import json
import math
from typing import Any

import numpy as np
import pytest
from django.test import Client
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

from marketplace.accounts.models import User
from marketplace.adapters import services
from marketplace.adapters.diffs import Line, card_lines, config_changes
from marketplace.adapters.history import compare_versions
from marketplace.adapters.models import Adapter, Version
from marketplace.core.errors import NotFound
from tests.marketplace.adapters.conftest import MODULES, adapter_files


@pytest.fixture
def ada(db: None) -> User:
    return User.objects.create_user("ada", "ada@example.org", "pw")


@pytest.fixture
def adapter(make_upload: Any, base: Any, ada: User) -> Adapter:
    """Three versions: the first weights, another card, and weights with one module doubled and another alpha."""
    adapter = services.publish_upload(
        user=ada, upload=make_upload(ada), name="sorter", visibility="public", description="Sorts."
    )
    services.edit_adapter(user=ada, adapter=adapter, description="Sorts words.")
    files = adapter_files()
    tensors = load(files["adapter_model.safetensors"])
    name = f"base_model.model.{MODULES[0]}.lora_B.weight"
    tensors[name] = tensors[name] * 2
    config = {**json.loads(files["adapter_config.json"]), "lora_dropout": 0.1, "target_modules": ["v_proj", "q_proj"]}
    changed = {"adapter_model.safetensors": save(tensors), "adapter_config.json": json.dumps(config).encode()}
    services.publish_upload(user=ada, upload=make_upload(ada, changed), adapter=adapter, message="Twice q")
    adapter.refresh_from_db()
    return adapter


def commits(adapter: Adapter) -> list[str]:
    return list(adapter.versions.order_by("pk").values_list("commit", flat=True))


def test_new_weights_are_compared_module_by_module(ada: User, adapter: Adapter) -> None:
    _, second, third = commits(adapter)
    diff = compare_versions(user=ada, adapter=adapter)
    assert (diff.before.commit, diff.after.commit) == (second, third)
    assert {change.path: change.change for change in diff.files} == {
        "adapter_config.json": "changed",
        "adapter_model.safetensors": "changed",
    }
    assert [(change.key, change.change, change.after) for change in diff.config] == [("lora_dropout", "added", "0.1")]
    (module,) = diff.tensors.modules
    assert (module.name, module.change, diff.tensors.unchanged) == (MODULES[0], "changed", len(MODULES) - 1)
    assert module.relative == pytest.approx(1.0, rel=1e-5)
    assert not diff.tensors.same_weights

    tensors = load(adapter_files()["adapter_model.safetensors"])
    scale = 8 / 4
    squares = []
    for name in MODULES:
        a, b = (tensors[f"base_model.model.{name}.lora_{part}.weight"].astype(float) for part in "AB")
        squares.append(float(np.square(scale * b @ a).sum()))
    assert diff.tensors.norm[0] == pytest.approx(math.sqrt(sum(squares)), rel=1e-5)
    assert diff.tensors.norm[1] == pytest.approx(math.sqrt(sum(squares) + 3 * squares[0]), rel=1e-5)
    # Signatures hold directions, module by module: twice the same is the same direction.
    assert diff.tensors.cosine == pytest.approx(1.0, abs=1e-3)


def test_another_card_says_so_and_nothing_else(ada: User, adapter: Adapter) -> None:
    first, second, _ = commits(adapter)
    diff = compare_versions(user=ada, adapter=adapter, before=first, after=second[:9])
    assert [change.path for change in diff.files] == ["README.md"]
    assert diff.tensors.same_weights
    assert diff.tensors.cosine == 1.0
    assert not diff.tensors.modules
    assert not diff.config
    assert [line.text for line in diff.card if line.kind == "added"] == ["description: Sorts words.", "Sorts words."]


def test_other_weights_have_another_direction(make_upload: Any, base: Any, ada: User) -> None:
    adapter = services.publish_upload(user=ada, upload=make_upload(ada), name="one", visibility="public")
    services.publish_upload(user=ada, upload=make_upload(ada, seed=5, rank=2), adapter=adapter)
    adapter.refresh_from_db()
    diff = compare_versions(user=ada, adapter=adapter)
    assert diff.tensors.cosine is not None
    assert abs(diff.tensors.cosine) < 0.6
    assert [module.rank for module in diff.tensors.modules] == [(4, 2)] * len(MODULES)
    assert [change.key for change in diff.config] == ["r"]


def test_a_comparison_with_itself_is_empty(ada: User, adapter: Adapter) -> None:
    _, _, third = commits(adapter)
    diff = compare_versions(user=ada, adapter=adapter, before=third, after="main")
    assert not diff.files
    assert not diff.card
    assert not diff.config
    assert not diff.tensors.modules


def test_only_visible_versions_are_compared(adapter: Adapter, ada: User) -> None:
    bob = User.objects.create_user("bob", "bob@example.org", "pw")
    first, second, _ = commits(adapter)
    Version.objects.get(commit=first).artifact.__class__.objects.filter(versions__commit=first).update(state="invalid")
    assert compare_versions(user=ada, adapter=adapter, before=first, after=second)
    with pytest.raises(NotFound):
        compare_versions(user=bob, adapter=adapter, before=first, after=second)


def test_the_first_version_has_nothing_before_it(adapter: Adapter, ada: User) -> None:
    with pytest.raises(NotFound, match="no version before"):
        compare_versions(user=ada, adapter=adapter, after=commits(adapter)[0])


def test_page_and_rest_say_the_same(adapter: Adapter, client: Client) -> None:
    first, second, third = commits(adapter)
    page = client.get("/ada/sorter/compare").content.decode()
    assert MODULES[0] in page
    assert "+100.0 %" in page
    assert "lora_dropout" in page
    page = client.get("/ada/sorter/compare", {"from": first, "to": second}).content.decode()
    assert "The weights are the same bytes" in page
    assert "Sorts words." in page
    body = client.get("/api/v1/adapters/ada/sorter/compare/").json()
    assert (body["before"], body["after"]) == (second, third)
    assert body["tensors"]["modules"][0]["name"] == MODULES[0]
    assert client.get("/ada/sorter/compare", {"from": "0" * 40}).status_code == 404
    assert client.get("/ada/sorter/compare", {"to": "x"}).status_code == 404
    versions = client.get("/ada/sorter/versions").content.decode()
    assert f"compare?to={third}" in versions
    assert f"compare?to={first}" not in versions


def test_an_adapter_with_one_version_says_so(make_upload: Any, base: Any, ada: User, client: Client) -> None:
    services.publish_upload(user=ada, upload=make_upload(ada), name="one", visibility="public")
    assert "One version so far" in client.get("/ada/one/compare").content.decode()


def test_long_histories_have_pages(make_upload: Any, base: Any, ada: User, client: Client) -> None:
    adapter = services.publish_upload(user=ada, upload=make_upload(ada), name="one", visibility="public")
    for number in range(21):
        services.edit_adapter(user=ada, adapter=adapter, description=f"Text {number}.")
    page = client.get("/ada/one/versions").content.decode()
    assert page.count("<h2") == 20
    assert "Older versions" in page
    cursor = page.split('href="?cursor=')[1].split('"')[0]
    older = client.get(f"/ada/one/versions?cursor={cursor}").content.decode()
    assert older.count("<h2") == 2
    assert "Older versions" not in older


def test_a_list_in_another_order_is_the_same_where_order_says_nothing() -> None:
    assert config_changes({"target_modules": ["q", "v"]}, {"target_modules": ["v", "q"]}) == []
    assert [c.key for c in config_changes({"layers": [1, 2]}, {"layers": [2, 1]})] == ["layers"]
    changes = config_changes({"a": None, "gone": 1}, {"a": False, "new": "x"})
    assert [(c.key, c.change, c.before, c.after) for c in changes] == [
        ("a", "changed", "null", "false"),
        ("gone", "removed", "1", ""),
        ("new", "added", "", '"x"'),
    ]


_TEXTS = st.lists(st.sampled_from(["a", "b", "", "c c"]), max_size=12).map("\n".join)


def rebuilt(lines: list[Line], side: str) -> dict[int, str]:
    return {number: line.text for line in lines if (number := getattr(line, side)) is not None}


@settings(max_examples=150, deadline=None, derandomize=True)
@given(_TEXTS, _TEXTS)
def test_comparisons_are_right(before: str, after: str) -> None:
    """Shown lines stand where they say; taking the changes of one side away leaves the other's."""
    lines = card_lines(before, after)
    old, new = (text.removesuffix("\n").split("\n") if text else [] for text in (before, after))
    assert all(old[number - 1] == text for number, text in rebuilt(lines, "before").items())
    assert all(new[number - 1] == text for number, text in rebuilt(lines, "after").items())
    removed = [line.text for line in lines if line.kind == "removed"]
    added = [line.text for line in lines if line.kind == "added"]
    assert len(old) - len(removed) == len(new) - len(added)
    kept = len(old) - len(removed)
    longest = sum(block.size for block in difflib.SequenceMatcher(a=old, b=new, autojunk=False).get_matching_blocks())
    assert kept >= longest
    assert (lines == []) == (old == new)


def test_lists_of_versions_read_no_measurements(
    adapter: Adapter, client: Client, django_assert_max_num_queries: Any
) -> None:
    with django_assert_max_num_queries(60) as queries:
        client.get("/ada/sorter/compare")
        client.get("/ada/sorter/versions")
        client.get("/api/v1/adapters/ada/sorter/versions/")
    ordered = [query["sql"] for query in queries if 'ORDER BY "adapters_version"."created_at" DESC' in query["sql"]]
    # One version is found by its id or by its first digits, too.
    lists = [sql for sql in ordered if not sql.endswith(("LIMIT 1", "LIMIT 2"))]
    assert len(lists) >= 3
    assert not [sql for sql in lists if '"modules"' in sql or '"signature"' in sql]


def test_the_config_is_for_those_who_may_have_the_files(adapter: Adapter, ada: User) -> None:
    Adapter.objects.update(visibility="gated")
    adapter.refresh_from_db()
    bob = User.objects.create_user("bob", "bob@example.org", "pw")
    assert compare_versions(user=ada, adapter=adapter).config
    seen = compare_versions(user=bob, adapter=adapter)
    assert seen.config == []
    assert seen.tensors.modules
