"""Elementwise methods against their published definitions, computed entry by entry."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from reference import elementwise_merges as slow
from reference.module_stacks import NAME, doubled, product, stack_of
from reference.random_factors import random_factors

from inference_worker.adapter_format import Factors
from inference_worker.contracts.merge_methods import METHODS as WORDS
from inference_worker.contracts.merge_methods import MemberFacts
from inference_worker.errors import BadInput
from inference_worker.merging.della import keep_probabilities
from inference_worker.merging.elementwise import Uniforms, adapter_identities
from inference_worker.merging.registry import METHODS, parse_options
from inference_worker.merging.stack import Merged, ModuleStack

D_IN, D_OUT = 11, 7
WEIGHTS = [0.7, -0.4, 1.5]
SEED = 5


def three(scale: float = 1.0) -> list[Factors]:
    """Different ranks; Σr = 9 > min(d)."""
    return [
        Factors(pair.A.double() * scale, pair.B.double())
        for pair in (random_factors(seed, rank, D_IN, D_OUT) for seed, rank in enumerate((2, 4, 3)))
    ]


def merge(stack: ModuleStack, method: str, rank: int | None = D_OUT, **options: Any) -> Merged:
    chosen = METHODS[method]
    return chosen.merge([stack], rank, parse_options(chosen, options), SEED)[0]


def uniforms(stack: ModuleStack) -> list[slow.Matrix]:
    """The numbers that the dense masks are drawn by."""
    drawn = Uniforms(SEED, f"{NAME}\0dense", adapter_identities(stack), D_IN).take(D_OUT, torch.device("cpu"))
    return [slow.rows_of(matrix) for matrix in drawn]


def check(merged: Merged, expected: slow.Matrix) -> None:
    wanted = torch.tensor(expected, dtype=torch.float64)
    assert float(wanted.norm()) > 0.1
    torch.testing.assert_close(product(merged), wanted, rtol=0, atol=1e-9 * float(wanted.norm()))
    assert merged.error is not None
    assert merged.error < 1e-9


@pytest.mark.parametrize("majority", ["total", "frequency"])
@pytest.mark.parametrize("average", ["count", "weight", "sum"])
def test_ties(majority: str, average: str) -> None:
    stack = stack_of(three(), WEIGHTS)
    merged = merge(stack, "ties", density=0.4, majority=majority, average=average, scaling=1.3)
    trimmed = [slow.keep_largest(slow.rows_of(product(pair)), 0.4) for pair in three()]
    check(merged, slow.times(slow.fuse(trimmed, WEIGHTS, majority, average), 1.3))


def test_scales_are_told_from_weights() -> None:
    """The scale alpha/r belongs to the update; only the weight counts in a weighted average."""
    stack = stack_of(three(), WEIGHTS, scales=[2.0, 0.5, 3.0])
    updates = [slow.rows_of(s * product(pair)) for s, pair in zip((2.0, 0.5, 3.0), three(), strict=True)]
    trimmed = [slow.keep_largest(update, 0.4) for update in updates]
    check(merge(stack, "ties", density=0.4, average="weight"), slow.fuse(trimmed, WEIGHTS, "total", "weight"))


def test_magnitude_prune() -> None:
    trimmed = [slow.keep_largest(slow.rows_of(product(pair)), 0.3) for pair in three()]
    check(merge(stack_of(three(), WEIGHTS), "magnitude_prune", density=0.3), slow.weighted(trimmed, WEIGHTS))


@pytest.mark.parametrize("rescale", ["probability", "l1"])
def test_dare(rescale: str) -> None:
    stack = stack_of(three(), WEIGHTS)
    chances = [[0.6] * D_IN for _ in range(D_OUT)]
    pairs = zip(three(), uniforms(stack), strict=True)
    dropped = [slow.drop(slow.rows_of(product(pair)), numbers, chances, rescale) for pair, numbers in pairs]
    check(merge(stack, "dare_linear", density=0.6, rescale=rescale), slow.weighted(dropped, WEIGHTS))
    check(merge(stack, "dare_ties", density=0.6, rescale=rescale), slow.fuse(dropped, WEIGHTS))


@pytest.mark.parametrize("rescale", ["probability", "l1"])
@pytest.mark.parametrize("elect", [True, False])
def test_della(rescale: str, elect: bool) -> None:
    stack = stack_of(three(), WEIGHTS)
    dropped = []
    for pair, numbers in zip(three(), uniforms(stack), strict=True):
        update = slow.rows_of(product(pair))
        dropped.append(slow.drop(update, numbers, slow.della_chances(update, 0.6, 0.4), rescale))
    merged = merge(stack, "della", density=0.6, epsilon=0.4, rescale=rescale, elect_signs=elect, average="weight")
    fused = slow.fuse(dropped, WEIGHTS, "total", "weight") if elect else slow.weighted(dropped, WEIGHTS)
    check(merged, fused)


def test_della_keeps_large_entries_more_often_and_the_density_on_average() -> None:
    row = torch.tensor([[0.1, -5.0, 2.0, 0.0, -1.0]])
    chances = keep_probabilities(row, 0.5, 0.4)
    torch.testing.assert_close(chances, torch.tensor([[0.4, 0.7, 0.6, 0.3, 0.5]]))
    assert torch.equal(keep_probabilities(row[:, :1], 0.5, 0.4), torch.tensor([[0.5]]))


@pytest.mark.parametrize(("density", "gamma"), [(0.5, 0.1), (0.2, 0.0), (0.8, 0.5)])
def test_breadcrumbs(density: float, gamma: float) -> None:
    stack = stack_of(three(), WEIGHTS)
    kept = [slow.keep_band(slow.rows_of(product(pair)), density, gamma) for pair in three()]
    check(merge(stack, "breadcrumbs", density=density, gamma=gamma), slow.weighted(kept, WEIGHTS))
    elected = merge(stack, "breadcrumbs", density=density, gamma=gamma, elect_signs=True)
    check(elected, slow.fuse(kept, WEIGHTS))


@pytest.mark.parametrize("select", [1.0, 0.3])
def test_sce(select: float) -> None:
    contributions = [slow.rows_of(weight * product(pair)) for weight, pair in zip(WEIGHTS, three(), strict=True)]
    check(merge(stack_of(three(), WEIGHTS), "sce", space="dense", select=select), slow.sce(contributions, select))


def test_sce_counts_adapters_without_the_module_as_zero() -> None:
    stack = stack_of(three(), [1.0] * 3)
    stack.line_up = tuple((index, 1.0) for index in range(5))
    zero = [[0.0] * D_IN for _ in range(D_OUT)]
    contributions = [slow.rows_of(product(pair)) for pair in three()]
    check(merge(stack, "sce", space="dense", select=0.3), slow.sce([*contributions, zero, zero], 0.3))


def test_task_arithmetic_is_the_scaled_sum() -> None:
    expected = slow.times(slow.weighted([slow.rows_of(product(pair)) for pair in three()], WEIGHTS), -0.3)
    merged = merge(stack_of(three(), WEIGHTS), "task_arithmetic", scaling=-0.3)
    torch.testing.assert_close(product(merged), torch.tensor(expected).double(), rtol=1e-4, atol=1e-4)


def test_core_is_the_method_on_tuckers_core() -> None:
    """Built here with dense SVDs: singular vectors of all updates side by side, and on top of each other."""
    parts = [doubled(random_factors(seed, 2, 30, 20)) for seed in range(3)]
    weights = [1.0, -0.5, 0.8]
    contributions = [weight * product(pair) for weight, pair in zip(weights, parts, strict=True)]
    left = torch.linalg.svd(torch.cat(contributions, dim=1)).U[:, :6]
    right = torch.linalg.svd(torch.cat(contributions, dim=0)).Vh[:6]
    cores = [slow.rows_of(left.T @ product(pair) @ right.T) for pair in parts]
    fused = torch.tensor(slow.fuse([slow.keep_largest(core, 0.4) for core in cores], weights)).double()
    merged = merge(stack_of(parts, weights), "ties", rank=6, density=0.4, space="core")
    expected = left @ fused @ right
    torch.testing.assert_close(product(merged), expected, rtol=0, atol=1e-5 * float(expected.norm()))
    assert merged.detail["space"] == "core"


@pytest.mark.parametrize("space", ["dense", "core"])
def test_error_is_the_truncation_of_the_methods_own_result(space: str) -> None:
    stack = stack_of(three(), WEIGHTS)
    whole = product(merge(stack, "ties", density=0.4, space=space))
    cut = merge(stack, "ties", rank=2, density=0.4, space=space)
    assert cut.A.shape == (2, D_IN)
    sigma = torch.linalg.svdvals(whole)
    assert cut.error == pytest.approx(float(sigma[2:].norm() / sigma.norm()), rel=1e-6)
    assert cut.error == pytest.approx(float((product(cut) - whole).norm() / whole.norm()), rel=1e-6)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A matrix that is looked at three rows at a time gives what it gives at once."""
    stack = stack_of(three(), WEIGHTS)
    calls: list[tuple[str, dict[str, Any]]] = [
        ("ties", {}),
        ("dare_ties", {"rescale": "l1"}),
        ("della", {}),
        ("breadcrumbs", {}),
        ("sce", {"space": "dense"}),
    ]
    whole = [product(merge(stack, method, **options)) for method, options in calls]
    monkeypatch.setattr("inference_worker.merging.spaces.BLOCK", 3 * 3 * D_IN)
    for (method, options), expected in zip(calls, whole, strict=True):
        torch.testing.assert_close(product(merge(stack, method, **options)), expected, rtol=0, atol=1e-10)


def test_factors_alone_ask_for_equal_ranks() -> None:
    """Known from headers, so the marketplace says it before there is a job."""
    members = [MemberFacts("first", ranks={"m": 4}), MemberFacts("second", ranks={"m": 6})]
    for name in ("ties", "dare_linear", "dare_ties", "magnitude_prune", "della", "breadcrumbs", "sce"):
        info = WORDS[name]
        assert info.refusal(members) is None
        assert info.refusal(members, info.options.model_validate({"space": "core"})) is None
        refusal = info.refusal(members, info.options.model_validate({"space": "factor"}))
        assert refusal is not None
        assert "rank 4 in first and 6 in second" in refusal.words


@pytest.mark.parametrize(("density", "epsilon"), [(0.5, 1.0), (0.9, 0.3), (0.1, 0.3)])
def test_della_refuses_probabilities_outside_0_and_1(density: float, epsilon: float) -> None:
    with pytest.raises(BadInput, match="epsilon/2"):
        parse_options(METHODS["della"], {"density": density, "epsilon": epsilon})
    parse_options(METHODS["della"], {"density": 1.0, "epsilon": epsilon})
