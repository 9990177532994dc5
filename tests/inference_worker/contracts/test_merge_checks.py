"""What the worker would refuse of a merge's settings is told from names alone."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from inference_worker.contracts.common import AdapterFiles, BaseFiles
from inference_worker.contracts.merge import MergeRequest
from inference_worker.contracts.merge_checks import AdapterNames, check_request
from inference_worker.contracts.merge_fit import FitExample, FitGroup, MergeFit
from inference_worker.contracts.merge_recipe import RecipeParent
from inference_worker.errors import BadInput

MODULES = ("model.layers.0.self_attn.q_proj", "model.layers.1.mlp.up_proj")
NAMES = [AdapterNames("first", MODULES), AdapterNames("second", MODULES[:1], ("lm_head.weight",))]
FIT = MergeFit(
    base=BaseFiles(name="base", source="base"),
    groups=(FitGroup(name="own", examples=(FitExample(prompt="a", expected="b"),)),),
)


def request(**settings: Any) -> MergeRequest:
    files = tuple(AdapterFiles(label=name.label, config="0" * 64, weights="1" * 64) for name in NAMES)
    return MergeRequest.model_validate({"adapters": files, "weights": (1.0, -0.5), "method": "svd"} | settings)


@pytest.mark.parametrize(
    ("settings", "field", "match"),
    [
        ({"method": "magic"}, "method", "no merge method 'magic'"),
        ({"method": "lego", "output": {"rank": {"energy": 0.9}}}, "rank", "write inertia:0.9"),
        ({"output": {"rank": {"inertia": 0.9}}}, "rank", "write energy:0.9"),
        ({"output": {"ranks": [{"modules": "q_proj", "rank": {"inertia": 0.9}}]}}, "ranks", "write energy:0.9"),
        ({"output": {"ranks": [{"modules": "9", "rank": 4}]}}, "ranks", "“9” fits no module of these"),
        ({"output": {"include": ["k_proj"]}}, "include", "“k_proj” fits no module"),
        ({"output": {"exclude": ["k_proj"]}}, "exclude", "names like model.layers.0"),
        ({"layer_weights": [[], [{"modules": "1", "factor": 2.0}]]}, "layer_weights", "no module of second"),
        ({"weights": (0.0, 0.0)}, "weights", "All weights are zero"),
        ({"output": {"exclude": ["self_attn", "mlp"]}}, "include", "Nothing is left to merge"),
        (
            {"layer_weights": [[{"modules": "0", "factor": 0.0}]] * 2, "output": {"include": ["0"]}},
            "include",
            "Nothing",
        ),
    ],
)
def test_settings_that_are_refused(settings: dict[str, Any], field: str, match: str) -> None:
    with pytest.raises(BadInput, match=match) as caught:
        check_request(request(**settings), NAMES)
    assert caught.value.extra["field"] == field


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"method": "lego", "output": {"rank": {"inertia": 0.9}}},
        {"output": {"rank": {"energy": 0.9}, "exclude": ["lm_head"]}},
        {"layer_weights": [[{"modules": "1", "factor": 2.0}], []]},
        {"method": "lorahub", "weights": (0.0, 0.0), "fit": FIT},
    ],
)
def test_settings_that_are_fine(settings: dict[str, Any]) -> None:
    check_request(request(**settings), NAMES)


def test_tensors_that_are_not_known_may_fit_any_selector() -> None:
    unknown = [NAMES[0], AdapterNames("second", MODULES[:1], None)]
    check_request(request(output={"exclude": ["lm_head"]}), unknown)
    with pytest.raises(BadInput, match="Nothing is left"):
        check_request(request(output={"include": ["lm_head"]}), unknown)


@pytest.mark.parametrize("weight", [float("nan"), float("inf"), 1.1e6])
def test_weights_are_numbers_of_a_sensible_size(weight: float) -> None:
    with pytest.raises(ValidationError, match=r"weights\.1"):
        request(weights=(1.0, weight))
    with pytest.raises(ValidationError, match="weight"):
        RecipeParent(weight=weight, config="0" * 64, weights="1" * 64)


def test_examples_and_given_weights_exclude_each_other() -> None:
    with pytest.raises(ValidationError, match="ties takes its weights as given"):
        request(method="ties", fit=FIT)
    groups = [[{"modules": "0", "factor": 2.0}], []]
    with pytest.raises(ValidationError, match="leave layer_weights out"):
        request(method="lora_soup", fit=FIT, layer_weights=groups)
    assert request(method="lora_soup", layer_weights=groups).layer_weights  # a recipe: weights found before
