"""How an update is split into its units, (c·a, b/c) and (−a, −b), does not show in what LoRA-LEGO makes of it."""

from __future__ import annotations

import pytest
import torch
from reference.module_stacks import product, stack_of
from reference.random_factors import random_factors

from benchmarks._merge_peers import random_stack
from inference_worker.adapter_format import Factors
from inference_worker.contracts.merge_methods import LegoOptions
from inference_worker.merging.lego import merge_lego
from inference_worker.merging.lego_units import make_units
from inference_worker.merging.sketch import LENGTH, MANY, sketched_gram
from inference_worker.merging.stack import ModuleStack, gram


def of_one_size(seed: int) -> Factors:
    """Units of rank 6, all of one size."""
    pair = random_factors(seed, 6)
    return Factors(pair.A / pair.A.norm(dim=1, keepdim=True), pair.B / pair.B.norm(dim=0))


def assert_same(actual: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-4 * float(expected.norm()))


@pytest.mark.parametrize("start", ["ward", "random"])
def test_units_of_one_size(start: str) -> None:
    """Ties are ordered by content, and what is the same update has the same content."""
    options = LegoOptions.model_validate({"start": start})
    for seed in range(6):
        parts = [of_one_size(3 * seed + index) for index in range(3)]
        expected = product(merge_lego([stack_of(parts, [1.0, 1.0, -1.0])], 4, options, seed)[0])
        noise = torch.Generator().manual_seed(seed)
        factors = [torch.randn(6, generator=noise) for _ in parts]
        turned = [Factors(p.A * c.unsqueeze(1), p.B / c) for p, c in zip(parts, factors, strict=True)]
        assert_same(product(merge_lego([stack_of(turned, [1.0, 1.0, -1.0])], 4, options, seed)[0]), expected)


def test_units_of_one_size_whose_first_values_agree() -> None:
    parts = [of_one_size(index) for index in range(3)]
    wide = [
        Factors(torch.cat([p.A.new_zeros(6, 80), p.A], dim=1), torch.cat([p.B.new_zeros(80, 6), p.B])) for p in parts
    ]
    orders = [_order(parts_of, 1.0) for parts_of in (parts, wide)]
    for parts_of, expected in zip((parts, wide), orders, strict=True):
        assert _order(parts_of, -0.3) == expected


def _order(parts: list[Factors], gauge: float) -> list[int]:
    turned = [Factors(part.A * gauge, part.B / gauge) for part in parts]
    return make_units([stack_of(turned, [1.0] * 3)], LegoOptions())[0].order.tolist()


@pytest.mark.parametrize("size", [1e-24, 1e24])
@pytest.mark.parametrize("options", [{}, {"start": "random"}, {"normalise": "each"}])
def test_one_factor_tiny_and_the_other_huge(size: float, options: dict[str, object]) -> None:
    parts = [random_factors(index, 4) for index in range(3)]
    parsed = LegoOptions.model_validate(options)
    expected = product(merge_lego([stack_of(parts, [1.0] * 3)], 5, parsed, 0)[0])
    turned = [Factors(part.A * size, part.B / size) for part in parts]
    assert_same(product(merge_lego([stack_of(turned, [1.0] * 3)], 5, parsed, 0)[0]), expected)


def test_a_huge_update_does_not_vanish() -> None:
    pair = random_factors(0, 8)
    expected = product(merge_lego([stack_of([pair], [1.0])], 4, LegoOptions(), 0)[0])
    huge = Factors(pair.A * 1e20, pair.B * 1e15)
    assert_same(product(merge_lego([stack_of([huge], [1e5])], 4, LegoOptions(), 0)[0]) / 1e40, expected)


def wide() -> ModuleStack:
    stack = random_stack(20, (2 * LENGTH + 500, 2 * LENGTH + 100), 16, 0)
    assert stack.size > MANY
    return stack


@pytest.mark.parametrize("products", [gram, sketched_gram])
def test_inner_products_of_any_size(products) -> None:  # type: ignore[no-untyped-def]
    stack = wide()
    stack.A[3] = 0.0
    expected = products(stack)
    powers = 2.0 ** torch.arange(-80.0, 80.0, 0.5).trunc()
    stack.A, stack.B = stack.A * powers.unsqueeze(1), stack.B / powers
    for found, wanted, sizes in zip(products(stack), expected, (powers.double(), 1 / powers.double()), strict=True):
        torch.testing.assert_close(
            found / torch.outer(sizes, sizes), wanted, rtol=1e-4, atol=1e-5 * float(wanted.max())
        )
