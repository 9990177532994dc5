from __future__ import annotations

import pytest

from marketplace.compositions.clusters import _draw, _has_clusters, _mixed, colour_of

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
