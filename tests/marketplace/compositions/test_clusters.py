from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from marketplace.accounts.models import User
from marketplace.adapters.models import Adapter, Blob, Version, VersionFile
from marketplace.compositions.cluster_overview import overview_of
from marketplace.compositions.clusters import _draw, _has_clusters, _mixed, colour_of
from marketplace.core.store import blob_store

LABELS = ["a/one", "b/two"]
DETAIL = {
    "adapter": [0, 0, 1, 1],
    "unit": [0, 1, 0, 1],
    "cluster": [2, 0, 2, 1],
    "size": [3.0, 1.0, 1.0, 2.0],
    "inertia": 0.25,
}


def test_every_unit_leads_to_its_brick() -> None:
    drawn = _draw("m", ["m"], DETAIL, LABELS)
    assert (len(drawn.units), len(drawn.bricks), drawn.mixed, drawn.inertia) == (4, 3, 1, 0.25)
    mixed = next(brick for brick in drawn.bricks if len(brick.parts) == 2)
    assert mixed.members == ["a/one unit 0 (size 3)", "b/two unit 0 (size 1)"]
    assert mixed.parts[0].width / mixed.width == pytest.approx(0.75)
    assert mixed.parts[0].colour == colour_of(0)
    for unit in drawn.units:
        number = int(unit.title.rpartition("brick ")[2]) - 1
        end = float(unit.path.split()[-2])
        assert end == pytest.approx(drawn.bricks[number].middle, abs=0.06)
        name, _, rest = unit.title.removeprefix("Unit ").partition(" of ")
        assert any(f"{rest.split(',')[0]} unit {name} " in member for member in drawn.bricks[number].members)


def test_bricks_of_several_adapters_are_counted() -> None:
    assert _mixed(DETAIL) == 1
    assert _mixed(DETAIL | {"cluster": [0, 1, 2, 3]}) == 0
    assert _mixed(DETAIL | {"cluster": [0, 1, 0, 1]}) == 2


def test_bricks_stand_below_their_units() -> None:
    drawn = _draw("m", ["m"], DETAIL, LABELS)
    assert [brick.members[0].split()[0] for brick in drawn.bricks] == ["a/one", "a/one", "b/two"]
    assert all(left.x + left.width <= right.x for left, right in zip(drawn.bricks, drawn.bricks[1:], strict=False))
    assert drawn.bricks[-1].x + drawn.bricks[-1].width <= drawn.width


@pytest.mark.parametrize(
    "detail",
    [
        None,
        {},
        {**DETAIL, "unit": [0]},
        {**DETAIL, "cluster": ["x", 0, 1, 2]},
        {**DETAIL, "size": [None, 1, 1, 1]},
        {**DETAIL, "adapter": [-1, 0, 1, 1]},
        {"adapter": [], "unit": [], "cluster": [], "size": []},
    ],
)
def test_a_report_with_anything_else_inside_is_no_picture(detail: object) -> None:
    assert not _has_clusters(detail)
    assert _has_clusters(DETAIL)


def test_bricks_say_how_pure_they_are() -> None:
    drawn = _draw("m", ["m"], DETAIL, LABELS)
    assert sorted(brick.purity for brick in drawn.bricks) == [0.5, 1.0, 1.0]
    assert (drawn.isolated, drawn.purity) == (2, 0.75)
    assert {unit.brick for unit in drawn.units} == {1, 2, 3}


def test_the_overview_counts_over_modules() -> None:
    pure = DETAIL | {"cluster": [0, 1, 2, 3], "inertia": 0.0}
    details = {"layers.0.q_proj": DETAIL, "layers.1.q_proj": pure, "layers.0.v_proj": DETAIL, "lm_head": pure}
    over = overview_of(details, LABELS, ["red", "blue"], "layers.1.q_proj")
    assert (over.summary["bricks"], over.summary["mixed"], over.summary["isolated"]) == (14, 2, 12)
    assert [row.alone for row in over.sharing] == [0.75, 0.75]
    assert over.sharing[0].shared == [0.0, 0.25]
    numbers = [(module.mixed, module.isolated, module.purity) for module in over.modules]
    assert numbers == [(1, 2, 0.75), (0, 4, 1.0), (1, 2, 0.75), (0, 4, 1.0)]
    strengths = {cell.module.name: cell.strength for cell in over.cells}
    assert strengths == {"layers.0.q_proj": 1.0, "layers.1.q_proj": 0.0, "layers.0.v_proj": 1.0, "lm_head": 0.0}
    assert [cell.module.name for cell in over.cells if cell.chosen] == ["layers.1.q_proj"]
    assert len({(cell.x, cell.y) for cell in over.cells}) == 4


@pytest.fixture
def merged(make_adapter: Callable[..., Adapter], ada: User) -> Adapter:
    """A merge whose second parent nobody may see, with its report."""
    adapter = make_adapter(ada, "both", origin="merge")
    parents = [{"label": "ada/one"}, {"label": "bob/secret"}]
    Version.objects.filter(pk=adapter.current_id).update(recipe={"method": "lego", "parents": parents})
    modules = [{"name": "layers.0.q_proj", "detail": DETAIL}, {"name": "layers.1.q_proj", "detail": DETAIL}]
    info = blob_store().put_bytes(json.dumps({"adapters": ["ada/one", "bob/secret"], "modules": modules}).encode())
    blob = Blob.objects.create(sha256=info.sha256, git_sha1=info.git_sha1, size=info.size)
    VersionFile.objects.create(version=adapter.current, path="merge_report.json", blob=blob)
    return adapter


@pytest.mark.django_db
def test_the_page_and_rest_show_the_same_without_hidden_names(merged: Adapter, client: Any) -> None:
    page = client.get("/ada/both?module=layers.1.q_proj").content.decode()
    assert "Who shares bricks with whom" in page
    assert 'aria-current="true"' in page
    assert "bob/secret" not in page
    read = client.get("/api/v1/adapters/ada/both/clusters/").json()
    assert (read["adapters"], read["units"]) == (["adapter 1", "adapter 2"], [])
    assert [module["name"] for module in read["modules"]] == ["layers.0.q_proj", "layers.1.q_proj"]
    units = client.get("/api/v1/adapters/ada/both/clusters/?module=layers.1.q_proj").json()["units"]
    assert units[0] == {"adapter": 0, "unit": 0, "brick": 2, "size": 3.0}
    assert client.get("/api/v1/adapters/ada/both/clusters/?module=nothing").status_code == 404
