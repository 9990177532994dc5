"""The first singular triplets of many units, against dense singular value decompositions; and when to leave it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from reference.dense_merges import truncate
from reference.module_stacks import product, stack_of
from reference.random_factors import random_factors, write_factors

from inference_worker.adapter_format import Factors
from inference_worker.contracts.merge_methods import NoOptions
from inference_worker.merging import leading, merge_adapters
from inference_worker.merging.leading import leading_part
from inference_worker.merging.stack import ModuleStack
from inference_worker.merging.svd import merge_svd

RANK, ADAPTERS, SHAPE = 16, 8, (210, 170)
WEIGHTS = [1.0, -0.6, 0.3, 1.7, 1.0, -1.0, 0.5, 1.2]


def parts(seed: int = 0) -> list[Factors]:
    """More units than there are wanted directions, of sizes that fall, as those of trained adapters do."""
    falling = torch.linspace(1.0, 0.05, RANK)
    drawn = [random_factors(100 * seed + index, RANK, *SHAPE) for index in range(ADAPTERS)]
    return [Factors(pair.A * falling.unsqueeze(1), pair.B) for pair in drawn]


def dense(stack: ModuleStack) -> torch.Tensor:
    delta: torch.Tensor = (stack.B.double() * stack.scale) @ stack.A.double()
    return delta


def check(stack: ModuleStack, rank: int, tolerance: float = 3e-6) -> None:
    whole = dense(stack)
    best = truncate(whole, rank)
    merged = merge_svd([stack], rank, NoOptions(), 0)[0]
    assert float((product(merged) - best).norm() / best.norm()) < tolerance
    assert merged.error == pytest.approx(float((whole - best).norm() / whole.norm()), abs=max(1e-5, tolerance))
    torch.testing.assert_close(merged.A.norm(dim=1), merged.B.norm(dim=0), rtol=1e-4, atol=0.0)


@pytest.mark.parametrize("rank", [1, 5, 16])
@pytest.mark.parametrize("seed", [0, 1])
def test_is_the_best_approximation(rank: int, seed: int) -> None:
    stack = stack_of(parts(seed), WEIGHTS, [2.0] * ADAPTERS)
    assert leading_part(stack, rank)
    check(stack, rank)


@pytest.mark.parametrize("size", [1e-15, 1.0, 1e15])
@pytest.mark.parametrize("skew", [1.0, 1e6])
def test_neither_sizes_nor_the_split_into_factors_matter(size: float, skew: float) -> None:
    skews = torch.logspace(0.0, 1.0, RANK, base=skew)
    skewed = [Factors(pair.A * size * skews.unsqueeze(1), pair.B / skews) for pair in parts()]
    stack = stack_of(skewed, WEIGHTS)
    assert leading_part(stack, 8)
    check(stack, 8, 1e-5)


def test_a_flat_spectrum_is_no_worse() -> None:
    """Which directions come first is a matter of rounding there, but not how much they leave."""
    stack = stack_of([random_factors(index, RANK, *SHAPE) for index in range(ADAPTERS)], [1.0] * ADAPTERS)
    whole = dense(stack)
    found = leading_part(stack, 16)
    assert found is not None
    missing = whole - (found.u.double() * found.sigma) @ found.v.double().T
    best = float((whole - truncate(whole, 16)).norm() / whole.norm())
    assert float(missing.norm() / whole.norm()) == pytest.approx(best, rel=1e-6)
    assert found.error == pytest.approx(best, rel=1e-6)


def equal() -> ModuleStack:
    return stack_of([parts()[0]] * ADAPTERS, WEIGHTS)


def with_zeros() -> ModuleStack:
    first, *others = parts()
    return stack_of([Factors(first.A, torch.zeros_like(first.B)), *others], WEIGHTS)


def nearly_cancelling() -> ModuleStack:
    half = parts()[: ADAPTERS // 2]
    other = [Factors(pair.A + 1e-4 * noise.A, pair.B) for pair, noise in zip(half, parts(1), strict=False)]
    return stack_of([*half, *other], [1.0] * len(half) + [-1.0] * len(other))


def of_low_rank() -> ModuleStack:
    small = [Factors(pair.A * (1e-3 if index else 1.0), pair.B) for index, pair in enumerate(parts())]
    return stack_of(small, [1.0] * ADAPTERS)


def huge() -> ModuleStack:
    return stack_of([Factors(pair.A * 1e18, pair.B * 1e18) for pair in parts()], WEIGHTS)


@pytest.mark.parametrize(
    ("stack", "tolerance"),
    [(equal(), 3e-6), (with_zeros(), 3e-6), (nearly_cancelling(), 1e-2), (of_low_rank(), 3e-6), (huge(), 3e-6)],
)
def test_what_goes_by_the_whole_core(stack: ModuleStack, tolerance: float) -> None:
    """Units that depend on each other, zero units, sums that rounding has a part in, errors too small to be measured
    as what is left of 1, numbers beyond float32."""
    assert leading_part(stack, 16) is None
    check(stack, 16, tolerance)


def test_few_units_and_ranks_near_their_number_go_by_the_whole_core() -> None:
    assert leading_part(stack_of(parts()[:2], WEIGHTS[:2]), 16) is None
    assert leading_part(stack_of(parts(), WEIGHTS), 100) is None


def test_the_order_of_ranks_and_adapters_does_not_show() -> None:
    before = parts()
    turned = [Factors(pair.A.flip(0), pair.B.flip(1)) for pair in reversed(before)]
    one, two = (
        product(merge_svd([stack], 8, NoOptions(), 0)[0])
        for stack in (stack_of(before, WEIGHTS), stack_of(turned, WEIGHTS[::-1]))
    )
    assert float((one - two).norm() / one.norm()) < 3e-6


def test_bytes_do_not_depend_on_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[bool] = []

    def watched(stack: ModuleStack, rank: int) -> leading.Leading | None:
        result = leading_part(stack, rank)
        found.append(result is not None)
        return result

    monkeypatch.setattr("inference_worker.merging.svd.leading_part", watched)
    names = [f"layers.{layer}.q_proj" for layer in range(6)]
    readers = [
        write_factors(tmp_path / str(index), {name: parts(layer)[index] for layer, name in enumerate(names)})
        for index in range(ADAPTERS)
    ]
    made = []
    for threads in (1, 3):
        report = merge_adapters(readers, WEIGHTS, "svd", tmp_path / f"by {threads}", threads=threads)
        made.append(report.files["adapter_model.safetensors"].read_bytes())
    assert made[0] == made[1]
    assert found == [True] * 12
