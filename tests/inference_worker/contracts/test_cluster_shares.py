"""What clusters say about adapters, on a small example counted by hand."""

from __future__ import annotations

from inference_worker.contracts.clusters import describe_bricks, summarise_clusters

#: Adapter 0 has three units, adapter 1 two, adapter 2 one. Brick 0 holds 0, 0, 1; brick 1 holds 1, 2; brick 2 holds 0.
DETAIL = {"adapter": [0, 0, 1, 1, 2, 0], "cluster": [0, 0, 0, 1, 1, 2], "inertia": 0.25}


def test_bricks_are_described() -> None:
    described = describe_bricks(DETAIL["adapter"], DETAIL["cluster"])
    assert described == {"purity": [0.6667, 0.5, 1.0], "isolated": [2]}


def test_sharing_is_counted_by_unit() -> None:
    summary = summarise_clusters([DETAIL], 4)
    assert summary["shared"] == [
        [0.6667, 0.6667, 0.0, 0.0],
        [0.5, 0.0, 0.5, 0.0],
        [0.0, 1.0, 0.0, 0.0],
        [0.0, 0.0, 0.0, 0.0],
    ]
    assert summary["alone"] == [0.3333, 0.0, 0.0, 0.0]
    assert summary["units"] == [3, 2, 1, 0]
    assert (summary["bricks"], summary["mixed"], summary["isolated"]) == (3, 2, 1)
    assert summary["purity"] == round((2 + 1 + 1) / 6, 4)


def test_modules_add_up() -> None:
    apart = {"adapter": [0, 1], "cluster": [0, 1], "inertia": 0.0}
    summary = summarise_clusters([DETAIL, apart], 3)
    assert summary["modules"] == 2
    assert summary["units"] == [4, 3, 1]
    assert summary["shared"][0] == [0.5, 0.5, 0.0]
    assert summary["alone"] == [0.5, 0.3333, 0.0]
    assert summary["inertia"] == 0.125
    assert summarise_clusters([], 2)["shared"] == [[0.0, 0.0], [0.0, 0.0]]
