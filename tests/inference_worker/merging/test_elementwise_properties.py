"""What must hold for every elementwise method, in updates and in their core."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.module_stacks import NAME, product, stack_of
from reference.random_factors import random_factors

from inference_worker.adapter_format import Factors
from inference_worker.contracts.merge_methods import METHODS as WORDS
from inference_worker.contracts.merge_methods.elementwise import SpaceOptions
from inference_worker.merging.registry import METHODS, parse_options
from inference_worker.merging.spaces import merge_in_space
from inference_worker.merging.stack import Merged, ModuleStack

D_IN, D_OUT = 13, 9
FULL = min(D_IN, D_OUT)
#: Every method with options that change nothing of one adapter, and with some that do.
KEEPING: dict[str, dict[str, Any]] = {
    "task_arithmetic": {},
    "ties": {"density": 1.0},
    "dare_linear": {"density": 1.0},
    "dare_ties": {"density": 1.0},
    "magnitude_prune": {"density": 1.0},
    "della": {"density": 1.0},
    "breadcrumbs": {"density": 1.0},
    "sce": {"select": 1.0},
}
DROPPING: dict[str, dict[str, Any]] = {
    "ties": {"density": 0.3},
    "dare_linear": {"density": 0.6},
    "dare_ties": {"density": 0.6, "rescale": "l1"},
    "magnitude_prune": {"density": 0.4},
    "della": {"density": 0.6, "epsilon": 0.3},
    "breadcrumbs": {"density": 0.5, "gamma": 0.1, "elect_signs": True},
    "sce": {"select": 0.3},
}
#: Their masks are drawn by the stored factors' content.
RANDOM = {"dare_linear", "dare_ties", "della"}
SPACES = ("dense", "core")
seeds = st.integers(0, 100_000)


def parts_of(seed: int, ranks: tuple[int, ...] = (3, 5, 4)) -> list[Factors]:
    """float64, so that rounding decides no vote; Σr = 12 > min(d) unless told."""
    drawn = [random_factors(7 * seed + index, rank, D_IN, D_OUT) for index, rank in enumerate(ranks)]
    return [Factors(pair.A.double(), pair.B.double()) for pair in drawn]


def merge(stack: ModuleStack, method: str, space: str = "dense", rank: int | None = FULL, **options: Any) -> Merged:
    chosen = METHODS[method]
    where = {} if method == "task_arithmetic" else {"space": space}
    return chosen.merge([stack], rank, parse_options(chosen, {**options, **where}), 1)[0]


def assert_same(actual: torch.Tensor, expected: torch.Tensor, tolerance: float = 1e-8) -> None:
    assert torch.isfinite(actual).all()
    torch.testing.assert_close(actual, expected, rtol=0, atol=tolerance * float(expected.norm()) + 1e-12)


def test_every_elementwise_method_is_here() -> None:
    spaced = {name for name, info in WORDS.items() if "space" in info.options.model_fields}
    assert spaced == DROPPING.keys() == KEEPING.keys() - {"task_arithmetic"}


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("method", ["dare_linear", "magnitude_prune", "task_arithmetic", "breadcrumbs"])
@settings(max_examples=10, deadline=None)
@given(seed=seeds)
def test_all_kept_is_the_exact_sum(method: str, space: str, seed: int) -> None:
    weights = [0.5, -1.2, 0.8]
    expected = sum(weight * product(pair) for weight, pair in zip(weights, parts_of(seed), strict=True))
    assert isinstance(expected, torch.Tensor)
    # task_arithmetic computes in float32.
    tolerance = 1e-5 if method == "task_arithmetic" else 1e-8
    assert_same(
        product(merge(stack_of(parts_of(seed), weights), method, space, **KEEPING[method])), expected, tolerance
    )


@pytest.mark.parametrize("method", ["ties", "dare_ties", "della"])
@settings(max_examples=10, deadline=None)
@given(seed=seeds)
def test_all_kept_is_the_mean_of_those_that_agree(method: str, seed: int) -> None:
    deltas = torch.stack([product(pair) for pair in parts_of(seed)])
    winner = deltas.sum(dim=0).sign()
    agree = deltas.sign() == winner
    expected = (deltas * agree).sum(dim=0) / agree.sum(dim=0)
    assert_same(product(merge(stack_of(parts_of(seed), [1.0] * 3), method, **KEEPING[method])), expected)


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("method", sorted(KEEPING))
@settings(max_examples=5, deadline=None)
@given(seed=seeds, rank=st.integers(1, FULL), weight=st.sampled_from([1.0, 0.3, -2.0]))
def test_one_adapter_all_kept_comes_back(method: str, space: str, seed: int, rank: int, weight: float) -> None:
    pair = parts_of(seed, (rank,))[0]
    merged = merge(stack_of([pair], [weight]), method, space, rank=None, **KEEPING[method])
    assert merged.A.shape == (rank, D_IN)
    assert_same(product(merged), weight * product(pair), 1e-5)
    assert merged.error == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("method", sorted(DROPPING))
@settings(max_examples=10, deadline=None)
@given(seed=seeds, data=st.data())
def test_order_of_adapters_and_ranks_and_gauge_do_not_matter(
    method: str, space: str, seed: int, data: st.DataObject
) -> None:
    """Neither permuting adapters and ranks nor mirroring units, (−a, −b), shows in the result."""
    parts, weights = parts_of(seed), [1.0, 0.5, -1.5]
    expected = product(merge(stack_of(parts, weights), method, space, **DROPPING[method]))
    order = data.draw(st.permutations(range(3)))
    changed = []
    for index in order:
        ranks = torch.tensor(data.draw(st.permutations(range(parts[index].A.shape[0]))))
        changed.append(Factors(parts[index].A[ranks], parts[index].B[:, ranks]))
    swapped = [weights[index] for index in order]
    assert_same(product(merge(stack_of(changed, swapped), method, space, **DROPPING[method])), expected, 1e-6)
    mirrored = [Factors(-pair.A, -pair.B) for pair in changed]
    assert_same(product(merge(stack_of(mirrored, swapped), method, space, **DROPPING[method])), expected, 1e-6)


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("method", sorted(DROPPING))
@settings(max_examples=8, deadline=None)
@given(seed=seeds, factor=st.sampled_from([1e-6, 0.25, 1e4]))
def test_scaling_all_weights_scales_the_result(method: str, space: str, seed: int, factor: float) -> None:
    parts, weights = parts_of(seed), [1.0, 0.5, -1.5]
    once = product(merge(stack_of(parts, weights), method, space, **DROPPING[method]))
    scaled = product(merge(stack_of(parts, [factor * w for w in weights]), method, space, **DROPPING[method]))
    assert_same(scaled, factor * once, 1e-6)
    by_lambda = product(merge(stack_of(parts, weights), method, space, scaling=3.0, **DROPPING[method]))
    assert_same(by_lambda, 3.0 * once, 1e-6)


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("method", sorted(DROPPING))
def test_negating_all_weights_negates_the_result(method: str, space: str) -> None:
    """Nothing prefers a sign."""
    parts, weights = parts_of(4), [1.0, 0.5, -1.5]
    for options in (DROPPING[method], {**DROPPING[method], "majority": "frequency"}):
        if "majority" in options and "majority" not in WORDS[method].options.model_fields:
            continue
        once = product(merge(stack_of(parts, weights), method, space, **options))
        negated = product(merge(stack_of(parts, [-weight for weight in weights]), method, space, **options))
        assert_same(negated, -once, 1e-6)


@pytest.mark.parametrize("method", sorted(DROPPING.keys() - RANDOM))
def test_the_gauge_does_not_matter(method: str) -> None:
    """Any invertible G: (G⁻¹·A, B·G) is the same update."""
    parts, weights = parts_of(2), [1.0, 0.5, -1.5]
    turned = []
    for index, pair in enumerate(parts):
        rank = pair.A.shape[0]
        gauge = torch.randn(rank, rank, generator=torch.Generator().manual_seed(index), dtype=torch.float64)
        turned.append(Factors(torch.linalg.solve(gauge, pair.A), pair.B @ gauge))
    for space in SPACES:
        expected = product(merge(stack_of(parts, weights), method, space, **DROPPING[method]))
        actual = product(merge(stack_of(turned, weights), method, space, **DROPPING[method]))
        assert_same(actual, expected, 1e-6)


@pytest.mark.parametrize("space", [*SPACES, "factor"])
@pytest.mark.parametrize("method", sorted(DROPPING))
def test_adapters_that_are_zero_change_no_number_to_nan(method: str, space: str) -> None:
    pair = parts_of(1, (3,))[0]
    zero = Factors(torch.zeros_like(pair.A), torch.zeros_like(pair.B))
    half = Factors(pair.A, torch.zeros_like(pair.B))
    for parts in ([zero], [zero, zero], [half, half], [pair, zero], [pair, half]):
        merged = merge(stack_of(parts, [1.0] * len(parts)), method, space, rank=3, **DROPPING[method])
        assert torch.isfinite(merged.A).all()
        assert torch.isfinite(merged.B).all()
        if parts[0] is not pair:
            assert not product(merged).any()


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("method", sorted(DROPPING))
def test_opposed_adapters_leave_nothing(method: str, space: str) -> None:
    pair = parts_of(1, (3,))[0]
    merged = merge(stack_of([pair, pair], [1.0, -1.0]), method, space, **DROPPING[method])
    assert float(product(merged).norm()) < 1e-9 * float(product(pair).norm())


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("method", sorted(DROPPING))
def test_rank_one_and_a_single_row(method: str, space: str) -> None:
    tiny = [random_factors(seed, 1, 1, 1) for seed in range(2)]
    merged = merge(stack_of(tiny, [1.0, 1.0]), method, space, rank=1, **DROPPING[method])
    assert torch.isfinite(product(merged)).all()
    narrow = [random_factors(seed, 1, D_IN, 1) for seed in range(2)]
    assert merge(stack_of(narrow, [1.0, 1.0]), method, space, rank=4, **DROPPING[method]).A.shape[0] == 1


@pytest.mark.parametrize("method", sorted(RANDOM))
def test_masks_belong_to_seed_module_and_content(method: str) -> None:
    parts = parts_of(3)
    chosen = METHODS[method]
    options = parse_options(chosen, DROPPING[method])

    def result(seed: int, name: str = NAME) -> torch.Tensor:
        return product(chosen.merge([stack_of(parts, [1.0] * 3, name=name)], FULL, options, seed)[0])

    assert torch.equal(result(1), result(1))
    assert not torch.allclose(result(1), result(2))
    assert not torch.allclose(result(1), result(1, "another.module"))


def test_dare_keeps_the_expectation() -> None:
    """The mean over many seeds comes near the sum."""
    parts = parts_of(3)
    chosen = METHODS["dare_linear"]
    options = parse_options(chosen, {"density": 0.5})
    drawn = [product(chosen.merge([stack_of(parts, [1.0] * 3)], FULL, options, seed)[0]) for seed in range(300)]
    expected = torch.stack([product(pair) for pair in parts]).sum(dim=0)
    gap = torch.stack(drawn).mean(dim=0) - expected
    assert float(gap.norm() / expected.norm()) < 0.12
    assert float((drawn[0] - expected).norm() / expected.norm()) > 0.3


@pytest.mark.gpu
@pytest.mark.parametrize("space", [*SPACES, "factor"])
@pytest.mark.parametrize("method", sorted(DROPPING))
def test_same_on_a_gpu(method: str, space: str) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    stack = stack_of(parts_of(3, (4, 4, 4)), [1.0, 0.5, -1.5])
    expected = product(merge(stack, method, space, **DROPPING[method]))
    for field in ("A", "B", "scale", "owner"):
        setattr(stack, field, getattr(stack, field).cuda())
    assert_same(product(merge(stack, method, space, **DROPPING[method])).cpu(), expected, 1e-5)


def test_a_combining_function_sees_whole_rows_once() -> None:
    """``merge_in_space`` hands every row of every adapter to the method, in order."""
    seen: list[slice] = []
    options = parse_options(METHODS["ties"], {})
    assert isinstance(options, SpaceOptions)

    def watch(updates: Any) -> torch.Tensor:
        seen.extend(rows for rows, _ in updates.blocks())
        result: torch.Tensor = updates.merge(lambda values: values.sum(dim=0))
        return result

    merge_in_space([stack_of(parts_of(0), [1.0] * 3)], FULL, options, 0, watch)
    assert [row for rows in seen for row in range(rows.start, rows.stop)] == list(range(D_OUT))
