"""What the methods on directions say of their members before any work."""

from __future__ import annotations

import pytest

from inference_worker.contracts.merge_methods import METHODS, MemberFacts
from inference_worker.contracts.merge_methods.spectral import TsvMOptions


def members(*weights: float, rank: int = 8, features: frozenset[str] = frozenset()) -> list[MemberFacts]:
    return [
        MemberFacts(f"a{index}", weight, {"q_proj": rank}, features if index == 0 else frozenset())
        for index, weight in enumerate(weights)
    ]


@pytest.mark.parametrize(("weights", "refused"), [((1.0,), True), ((1.0, 2.0), False), ((1.0, 1.0, 1.0), True)])
def test_slerp_takes_two(weights: tuple[float, ...], refused: bool) -> None:
    refusal = METHODS["slerp"].refusal(members(*weights))
    assert (refusal is not None) == refused
    assert not refusal or refusal.words.endswith(f"not {len(weights)}")


@pytest.mark.parametrize("method", ["knots", "core_space", "tsv_m", "iso_c", "iso_cts", "karcher", "slerp"])
def test_biases_of_updates_have_no_place(method: str) -> None:
    refusal = METHODS[method].refusal(members(1.0, 1.0, features=frozenset({"lora_bias"})))
    assert refusal is not None
    assert "a0" in refusal.words


def test_a_single_adapter_keeps_its_bias() -> None:
    assert METHODS["knots"].refusal(members(1.0, features=frozenset({"lora_bias"}))) is None


@pytest.mark.parametrize(
    ("weights", "words"), [((1.0, 1.0), ""), ((0.25, -0.75), ""), ((2.0, 2.0), "total of 4"), ((1.0, 0.5), "of 1.5")]
)
def test_shares_are_announced(weights: tuple[float, ...], words: str) -> None:
    caveats = METHODS["karcher"].caveats(members(*weights))
    assert bool(caveats) == bool(words)
    assert words in "".join(caveats)


def test_loss_of_directions_is_announced() -> None:
    many = members(*[1.0] * 5)
    assert METHODS["tsv_m"].caveats(many) == [
        "One direction per module is kept of a0, a1, a2, a3, a4; a larger keep keeps more."
    ]
    assert not METHODS["tsv_m"].caveats(many, TsvMOptions(keep=0.5))
    assert not METHODS["tsv_m"].caveats(members(1.0, 1.0))
    assert not METHODS["tsv_m"].caveats(members(1.0, 1.0, rank=1))


@pytest.mark.parametrize("method", ["iso_c", "iso_cts"])
def test_a_single_adapter_changes_where_strengths_do(method: str) -> None:
    assert METHODS[method].caveats(members(1.0))
    assert not METHODS[method].caveats(members(1.0, 1.0))
