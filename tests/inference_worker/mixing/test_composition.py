"""Stacked factors against the sum of dense updates, computed the slow obvious way."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from inference_worker.errors import BadInput
from inference_worker.mixing.composition import ModuleFactors, combined_gain, compose, write_stacked

D_IN, D_OUT = 6, 5


@dataclass
class Adapter:
    modules: dict[str, ModuleFactors]


def factors(rank: int, seed: int, gain: bool = False) -> ModuleFactors:
    generator = torch.Generator().manual_seed(seed)
    A, B = torch.randn(rank, D_IN, generator=generator), torch.randn(D_OUT, rank, generator=generator)
    return ModuleFactors(A, B, torch.rand(D_OUT, generator=generator) + 0.5 if gain else None)


def dense_sum(parts: list[tuple[ModuleFactors, float]]) -> Tensor:
    total = torch.zeros(D_OUT, D_IN)
    for part, weight in parts:
        total += weight * part.B @ part.A
    return total


@pytest.mark.parametrize("padding", [0, 3])
def test_stacked_factors_are_the_weighted_sum(padding: int) -> None:
    parts = [(factors(2, 1), 0.5), (factors(4, 2), -1.25), (factors(1, 3), 3.0)]
    A, B = torch.full((7 + padding, D_IN), torch.nan), torch.full((D_OUT, 7 + padding), torch.nan)
    write_stacked(parts, A, B)
    torch.testing.assert_close(B @ A, dense_sum(parts))


def test_nothing_stacked_is_zero() -> None:
    A, B = torch.full((8, D_IN), torch.nan), torch.full((D_OUT, 8), torch.nan)
    write_stacked([], A, B)
    assert not A.any()
    assert not B.any()


def test_members_without_a_module_add_nothing_to_it() -> None:
    one, two = Adapter({"q": factors(2, 1), "v": factors(3, 2)}), Adapter({"q": factors(4, 3)})
    composition = compose([(one, 0.7), (two, 0.3)])
    assert composition.module_names() == {"q", "v"}
    assert [composition.rank(name) for name in ("q", "v", "o")] == [6, 3, 0]
    assert composition.parts("v") == [(one.modules["v"], 0.7)], "the weight stays what it was"


def test_weight_zero_is_absent_and_infinite_weights_are_refused() -> None:
    adapter = Adapter({"q": factors(2, 1)})
    assert compose([(adapter, 0.0)]).members == ()
    for weight in (float("inf"), float("nan")):
        with pytest.raises(BadInput, match="finite"):
            compose([(adapter, weight)])


def test_gains_combine_beyond_the_base() -> None:
    """Σ w_i (y_i − Wx) with y_i = g_i ⊙ (Wx + B_i A_i x), against its formula written out."""
    with_gain, plain = factors(2, 4, gain=True), factors(3, 5)
    weight, x = torch.randn(D_OUT, D_IN), torch.randn(D_IN)
    base = weight @ x
    assert with_gain.gain is not None
    scaled = ModuleFactors(with_gain.A, with_gain.B * with_gain.gain[:, None], with_gain.gain)
    parts = [(scaled, 0.6), (plain, 0.4)]
    gain = combined_gain(parts)
    assert gain is not None
    A, B = torch.empty(5, D_IN), torch.empty(D_OUT, 5)
    write_stacked(parts, A, B)
    alone = with_gain.gain * (base + with_gain.B @ (with_gain.A @ x))
    expected = base + 0.6 * (alone - base) + 0.4 * (plain.B @ (plain.A @ x))
    torch.testing.assert_close(gain * base + B @ (A @ x), expected)
    assert combined_gain([(plain, 1.0)]) is None
