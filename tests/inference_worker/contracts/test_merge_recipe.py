"""Requests and recipes of merges, of this form and of earlier ones."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from inference_worker.contracts.common import AdapterFiles
from inference_worker.contracts.merge import MergeRequest
from inference_worker.contracts.merge_output import (
    EnergyRank,
    GroupWeight,
    InertiaRank,
    MergeOutput,
    ModuleRank,
    factor_of,
    member_weights_from_text,
    rank_from_text,
    rank_to_text,
    ranks_from_text,
)
from inference_worker.contracts.merge_recipe import check_parents, parse_recipe
from inference_worker.errors import BadInput

FIRST: dict[str, Any] = {"label": "ann/one", "config": "0" * 64, "weights": "1" * 64}
SECOND: dict[str, Any] = {"label": "bob/two", "config": "2" * 64, "weights": "3" * 64}
EARLIER: dict[str, Any] = {
    "format": 1,
    "kind": "merge",
    "method": "svd",
    "parameters": {"rank": 4, "dtype": "float16", "options": {}},
    "seed": 3,
    "parents": [FIRST | {"weight": 0.5}, SECOND | {"weight": -1.0}],
    "versions": {"brickyard": "0.0.1", "torch": "2.0"},
}


def test_requests_of_the_earlier_form_are_read() -> None:
    both = {"adapters": [FIRST, SECOND], "weights": [1, 2], "method": "svd"}
    lifted = MergeRequest.model_validate(both | {"rank": 8, "dtype": "float32"})
    assert lifted.output == MergeOutput(rank=8, dtype="float32")
    assert MergeRequest.model_validate(lifted.model_dump(mode="json")) == lifted
    with pytest.raises(ValidationError, match="belong into output"):
        MergeRequest.model_validate(both | {"rank": 8, "output": {}})


def test_layer_weights_are_for_all_or_none() -> None:
    with pytest.raises(ValidationError, match="layer weights for 1 of 2"):
        MergeRequest.model_validate(
            {"adapters": [FIRST, SECOND], "weights": [1, 2], "method": "svd", "layer_weights": [[]]}
        )


@pytest.mark.parametrize(
    ("text", "rank"),
    [
        ("", None),
        ("8", 8),
        ("same", "same"),
        ("energy:0.95", EnergyRank(energy=0.95)),
        ("inertia:0.9", InertiaRank(inertia=0.9)),
    ],
)
def test_ranks_as_text(text: str, rank: Any) -> None:
    assert rank_from_text(text) == rank
    assert rank_to_text(rank) == text
    assert MergeOutput.model_validate(MergeOutput(rank=rank).model_dump(mode="json")).rank == rank


@pytest.mark.parametrize("text", ["0", "-1", "5000", "8.5", "most", "energy:", "energy:1.5", "energy:nan", "8:8"])
def test_what_is_no_rank(text: str) -> None:
    with pytest.raises(ValueError, match="is no rank: write a number from 1"):
        rank_from_text(text)


def test_groups_as_text() -> None:
    groups = member_weights_from_text("0-15:1.0, q_proj:-0.5")
    assert groups == (GroupWeight(modules="0-15", factor=1.0), GroupWeight(modules="q_proj", factor=-0.5))
    assert factor_of(groups, "model.layers.3.self_attn.q_proj") == 1.0  # the first that fits
    assert factor_of(groups, "model.layers.20.self_attn.q_proj") == -0.5
    assert factor_of(groups, "model.layers.20.self_attn.v_proj") == 1.0
    assert ranks_from_text("q_proj:8,mlp:energy:0.9")[1] == ModuleRank(modules="mlp", rank=EnergyRank(energy=0.9))
    with pytest.raises(ValueError, match="no group and value"):
        member_weights_from_text("0-15")


def test_first_form_is_read_as_the_second() -> None:
    recipe = parse_recipe(json.dumps(EARLIER))
    assert recipe.output == MergeOutput(rank=4, dtype="float16")
    assert [parent.weight for parent in recipe.parents] == [0.5, -1.0]
    assert parse_recipe(recipe.model_dump(mode="json")) == recipe
    request = recipe.to_request()
    assert (request.method, request.seed, request.layer_weights) == ("svd", 3, ())
    assert request.adapters[1] == AdapterFiles.model_validate(SECOND)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kind": "train"}, "kind 'train'"),
        ({"format": 3}, "format 3"),
        ({"parents": []}, "parents"),
        ({"parameters": {"rank": 4, "ranks": 5}}, "parameters: rank, dtype and options"),
        ({"parents": [FIRST | {"weight": "much"}]}, "parents.0.weight"),
        ({"extra": 1}, "extra"),
    ],
)
def test_what_is_no_recipe(change: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput, match=words) as caught:
        parse_recipe(EARLIER | change)
    assert caught.value.code == "bad_recipe"


@pytest.mark.parametrize("text", ["{", "[" * 100_000, "[]", b"\xff", " " * ((8 << 20) + 1)], ids=range(5))
def test_what_is_no_json(text: str | bytes) -> None:
    with pytest.raises(BadInput, match="The recipe cannot be read"):
        parse_recipe(text)


def test_the_parent_that_differs_is_named() -> None:
    recipe = parse_recipe(EARLIER)
    first = AdapterFiles.model_validate(FIRST)
    check_parents(recipe, [first, AdapterFiles.model_validate(SECOND)])
    other = AdapterFiles(label="eve/two", config="2" * 64, weights="9" * 64)
    with pytest.raises(
        BadInput, match="Parent 2 of the recipe, bob/two, is not eve/two: weights 999999999999… instead"
    ):
        check_parents(recipe, [first, other])
    with pytest.raises(BadInput, match=r"has 2 parents .ann/one, bob/two., and 1 adapters"):
        check_parents(recipe, [first])


def test_other_versions_are_said() -> None:
    recipe = parse_recipe(parse_recipe(EARLIER).model_dump() | {"versions": EARLIER["versions"]})
    assert recipe.differences({"brickyard": "0.0.1", "torch": "2.0", "numpy": "1"}) == []
    assert recipe.differences({"brickyard": "0.0.1", "torch": "2.1"}) == [
        "This merge was made with torch 2.0, and this is 2.1: the bytes may differ."
    ]
    assert parse_recipe(EARLIER).differences({"brickyard": "0.0.1", "torch": "2.0"}) == [
        "This merge was made with brickyard 0.0.1 (form 1), and this is 0.0.1: the bytes may differ."
    ]
