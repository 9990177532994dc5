"""What goes with an update, its bias or its magnitudes, allows no method that would bring the two out of step."""

from __future__ import annotations

from typing import Any

import pytest

from inference_worker.contracts.merge_limits import ALONE
from inference_worker.contracts.merge_methods import METHODS, MemberFacts

SCALED = [name for name, info in METHODS.items() if "scaling" in info.options.model_fields]


def refusal(method: str, feature: str, weight: float = 1.0, layers: tuple[float, ...] = (), **options: Any) -> str:
    """The refusal's code for a single adapter; empty where there is none."""
    info = METHODS[method]
    weights = {f"m{index}": value for index, value in enumerate(layers)}
    member = MemberFacts("one", weight, {"m0": 4}, frozenset({feature}), weights)
    found = info.refusal([member], info.options.model_validate(options))
    assert found is None or "one" in found.words
    return found.code if found else ""


@pytest.mark.parametrize("method", SCALED)
@pytest.mark.parametrize("feature", ["lora_bias", *ALONE])
def test_a_factor_on_the_result(method: str, feature: str) -> None:
    assert not refusal(method, feature)
    assert refusal(method, feature, scaling=3.0) == f"refused_{feature}"


@pytest.mark.parametrize("method", sorted(set(METHODS) - {"slerp", "iso_c", "iso_cts"}))
def test_magnitudes_at_other_weights(method: str) -> None:
    assert not refusal(method, "dora")
    assert refusal(method, "dora", -1.0) == "refused_dora"
    assert refusal(method, "dora", layers=(1.0, 0.5)) == "refused_dora"


@pytest.mark.parametrize(
    ("method", "options"),
    [("iso_c", {}), ("iso_cts", {}), ("knots", {"isotropic": True}), ("core_space", {"isotropic": True})],
)
def test_magnitudes_where_strengths_are_evened_out(method: str, options: dict[str, Any]) -> None:
    assert refusal(method, "dora", **options) == "refused_dora"
    assert not refusal(method, "lora_bias", **options)


def test_magnitudes_do_not_follow_what_is_left_out() -> None:
    dora = [MemberFacts("one", features=frozenset({"dora"}))]
    assert "one has magnitudes" in METHODS["ties"].caveats(dora)[0]
    assert not METHODS["svd"].caveats(dora)
    assert not METHODS["ties"].caveats([MemberFacts("one")])


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("karcher", {}),
        ("ties", {"average": "weight"}),
        ("dare_ties", {"average": "weight"}),
        ("della", {"average": "weight"}),
        ("breadcrumbs", {"average": "weight", "elect_signs": True}),
        ("lego", {"adapter_weights": "sample"}),
    ],
)
def test_biases_where_weights_are_shares(method: str, options: dict[str, Any]) -> None:
    assert not refusal(method, "lora_bias", **options)
    assert not refusal(method, "lora_bias", -1.0, **options)
    assert refusal(method, "lora_bias", 0.5, **options) == "refused_lora_bias"
    assert refusal(method, "lora_bias", layers=(1.0, 0.5), **options) == "refused_lora_bias"


def test_biases_follow_weights_elsewhere() -> None:
    assert not refusal("ties", "lora_bias", 0.5)
    assert not refusal("breadcrumbs", "lora_bias", 0.5, average="weight")
    assert not refusal("lego", "lora_bias", 0.5)
