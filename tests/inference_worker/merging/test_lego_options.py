"""LoRA-LEGO's open choices, one by one: what each must and must not change."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from reference.placed import Placed
from reference.random_factors import random_factors

from inference_worker.adapter_format import Factors
from inference_worker.contracts.merge_methods import LegoOptions
from inference_worker.merging.lego import merge_lego
from inference_worker.merging.stack import Merged, ModuleStack


def stack(factors: list[Factors], weights: list[float], name: str = "q_proj", device: str = "cpu") -> ModuleStack:
    ranks = tuple(pair.A.shape[0] for pair in factors)
    repeats = torch.tensor(ranks)
    return ModuleStack(
        name=name,
        A=torch.cat([pair.A for pair in factors]).to(device),
        B=torch.cat([pair.B for pair in factors], dim=1).to(device),
        scale=torch.tensor(weights, dtype=torch.float64).repeat_interleave(repeats).to(device),
        owner=torch.arange(len(ranks)).repeat_interleave(repeats).to(device),
        ranks=ranks,
        weights=tuple(weights),
    )


def lego(factors: list[Factors], weights: list[float], rank: int | None = None, **options: Any) -> Merged:
    return merge_lego([stack(factors, weights)], rank, LegoOptions(**options), 0)[0]


def product(merged: Merged) -> torch.Tensor:
    return merged.B.double() @ merged.A.double()


def assert_same(actual: torch.Tensor, expected: torch.Tensor, tolerance: float = 2e-5) -> None:
    torch.testing.assert_close(actual, expected, rtol=0, atol=tolerance * float(expected.norm()))


def bricks(merged: Merged) -> list[list[tuple[int, int]]]:
    found: dict[int, list[tuple[int, int]]] = {}
    for adapter, unit, brick in zip(*(merged.detail[key] for key in ("adapter", "unit", "cluster")), strict=True):
        found.setdefault(brick, []).append((adapter, unit))
    return [found[brick] for brick in sorted(found)]


def test_the_papers_variant_is_the_papers_text() -> None:
    """Units as stored, plain means, brought back to the members' mean norm, Δ times √(r/k)."""
    parts = [random_factors(seed, 4) for seed in range(3)]
    merged = lego(parts, [1.0] * 3, 5, variant="paper")
    total = torch.zeros(40, 24, dtype=torch.float64)
    for members in bricks(merged):
        points = torch.stack([torch.cat([parts[i].A[u], parts[i].B[:, u]]).double() for i, u in members])
        centre = points.mean(dim=0)
        centre *= points.norm(dim=1).mean() / centre.norm()
        total += torch.outer(centre[24:], centre[:24])
    assert_same(product(merged), (4 / 5) ** 0.5 * total)


def test_the_papers_variant_depends_on_mirrors_and_scaling_and_the_settled_one_does_not() -> None:
    parts = [random_factors(seed, 4) for seed in range(3)]
    gauge = torch.tensor([0.1, -2.0, 10.0, -1.0])
    changed = [Factors(pair.A * gauge.unsqueeze(1), pair.B / gauge) for pair in parts[:1]] + parts[1:]
    for variant, same in (("paper", False), ("settled", True)):
        first, second = (product(lego(some, [1.0] * 3, 4, variant=variant)) for some in (parts, changed))
        assert torch.allclose(first, second, rtol=0, atol=1e-4 * float(first.norm())) is same


@pytest.mark.parametrize("options", [{"variant": "paper"}, {"balance": False}, {"align_signs": False}])
def test_the_oracles_hold_for_every_choice(options: dict[str, Any]) -> None:
    pair = random_factors(1, 6)
    whole = pair.B.double() @ pair.A.double()
    assert_same(product(lego([pair] * 3, [1.0] * 3, 6, **options)), whole)
    parts = [random_factors(seed, rank) for seed, rank in enumerate((3, 5, 2))]
    total = torch.stack([part.B.double() @ part.A.double() for part in parts]).sum(dim=0)
    shrunk = (10 / 3 / 10) ** 0.5 if options.get("variant") == "paper" else 1.0
    assert_same(product(lego(parts, [1.0] * 3, 10, **options)), shrunk * total)


@pytest.mark.parametrize("options", [{"align_signs": False, "balance": False}, {"normalise": "joint"}])
def test_order_does_not_matter_for_any_choice(options: dict[str, Any]) -> None:
    parts = [random_factors(seed, 4) for seed in range(3)]
    # Two units of one size that are mirrors of each other: their order must come from their content.
    parts[0].A[1], parts[0].B[:, 1] = -parts[0].A[0], -parts[0].B[:, 0]
    expected = product(lego(parts, [1.0] * 3, 5, **options))
    for seed in range(4):
        order = torch.randperm(4, generator=torch.Generator().manual_seed(seed))
        changed = [Factors(pair.A[order], pair.B[:, order]) for pair in reversed(parts)]
        assert_same(product(lego(changed, [1.0] * 3, 5, **options)), expected, 1e-4)


def test_balanced_units_are_normalised_alike_jointly_and_each() -> None:
    parts = [random_factors(seed, 6) for seed in range(3)]
    parts[1].B.mul_(20.0)
    joint, each = (lego(parts, [1.0] * 3, 4, normalise=how) for how in ("joint", "each"))
    assert bricks(joint) == bricks(each)
    # Unbalanced, the long b of one adapter decides alone where a unit is taken as a whole.
    joint, each = (lego(parts, [1.0] * 3, 4, normalise=how, balance=False) for how in ("joint", "each"))
    assert bricks(joint) != bricks(each)


def test_normalising_lets_small_units_join_their_direction() -> None:
    """Two directions, each once large and once small: by size the small ones join each other, by direction not."""
    pair = random_factors(3, 2)
    small = Factors(pair.A * 0.05, pair.B * 0.05)
    assert sorted(map(sorted, bricks(lego([pair, small], [1.0, 1.0], 2, normalise="joint")))) == [
        [(0, unit), (1, unit)] for unit in range(2)
    ]


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_sample_weight_counts_like_that_many_adapters(sign: float) -> None:
    base = random_factors(1, 4)
    near = Factors(base.A + 0.1 * random_factors(2, 4).A, base.B)
    merged = lego([base, near], [2.0 * sign, 1.0 * sign], 4, adapter_weights="sample")
    expected = lego([base, base, near], [sign] * 3, 4)
    assert_same(product(merged), product(expected))
    scaled = lego([base, near], [20.0 * sign, 10.0 * sign], 4, adapter_weights="sample")
    assert_same(product(scaled), product(merged))


@pytest.mark.parametrize("reweighting", ["l2", "none"])
def test_output_reweighting_scales_by_rank_alone(reweighting: str) -> None:
    parts = [random_factors(seed, 4) for seed in range(3)]
    for rank in (2, 4, 8):
        without = lego(parts, [1.0] * 3, rank, parameter_reweighting=reweighting, output_reweighting="never")
        with_it = lego(parts, [1.0] * 3, rank, parameter_reweighting=reweighting, output_reweighting="always")
        assert_same(product(with_it), (4 / rank) ** 0.5 * product(without))
        default = lego(parts, [1.0] * 3, rank, parameter_reweighting=reweighting)
        assert_same(product(default), max(1.0, (4 / rank) ** 0.5) * product(without))


@pytest.mark.parametrize("budget", [0.3, 0.6, 0.9, 1.0])
def test_a_budget_takes_the_smallest_rank_that_keeps_it(budget: float) -> None:
    parts = [random_factors(seed, 6) for seed in range(3)]
    merged = lego(parts, [1.0] * 3, None, inertia_budget=budget)
    rank = merged.A.shape[0]
    assert 1.0 - merged.detail["inertia"] >= budget - 1e-5
    assert 1.0 - lego(parts, [1.0] * 3, rank - 1).detail["inertia"] < budget
    assert_same(product(merged), product(lego(parts, [1.0] * 3, rank)))


def test_a_budget_is_bounded_by_the_rank_and_by_the_distinct_units() -> None:
    pair = random_factors(1, 6)
    assert lego([pair, random_factors(2, 6)], [1.0, 1.0], 3, inertia_budget=0.99).A.shape[0] == 3
    assert lego([pair] * 4, [1.0] * 4, None, inertia_budget=1.0).A.shape[0] == 6


@pytest.mark.parametrize("budget", [0.0, 0.7])
def test_modules_do_not_depend_on_their_batch(budget: float) -> None:
    stacks = [
        stack([random_factors(seed + i, rank) for i in range(3)], [1.0] * 3, name=f"layers.{seed}.q_proj")
        for seed, rank in ((0, 3), (10, 8), (20, 5))
    ]
    options = LegoOptions(inertia_budget=budget)
    for one, together in zip(stacks, merge_lego(stacks, None, options, 4), strict=True):
        assert_same(product(together), product(merge_lego([one], None, options, 4)[0]))


@pytest.mark.parametrize("options", [{}, {"parameter_reweighting": "inf"}, {"variant": "paper", "normalise": "each"}])
def test_tensors_are_made_where_the_input_is(options: dict[str, Any]) -> None:
    """Where no CUDA device is at hand: every tensor is made with a device, or from another tensor."""
    parts = [random_factors(seed, 4) for seed in range(3)]
    some = stack(parts, [2.0, 1.0, 1.0])
    with Placed():
        merge_lego([some], 5, LegoOptions(**options, adapter_weights="sample"), 0)
        merge_lego([some], None, LegoOptions(**options, inertia_budget=0.7), 0)
