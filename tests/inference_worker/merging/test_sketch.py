"""Sketched Gram matrices, and LoRA-LEGO where there are so many units that it uses them."""

from __future__ import annotations

import pytest
import torch
from reference.module_stacks import product, stack_of

from benchmarks._merge_peers import random_stack
from inference_worker.adapter_format import Factors
from inference_worker.contracts.merge_methods import LegoOptions
from inference_worker.merging import lego_units
from inference_worker.merging.lego import merge_lego
from inference_worker.merging.sketch import LENGTH, MANY, sketched_gram
from inference_worker.merging.stack import Merged, ModuleStack, gram

SHAPE = (2 * LENGTH + 500, 2 * LENGTH + 1100)
#: 320 units.
ADAPTERS = 20


def wide_stack(seed: int = 0) -> ModuleStack:
    return random_stack(ADAPTERS, SHAPE, 16, seed)


def lost(stack: ModuleStack, merged: Merged) -> float:
    """What the reported bricks lose of the units' squared size, from the vectors themselves, by plain means."""
    vectors = torch.cat([stack.A, stack.B.T], dim=1).double()
    detail = merged.detail
    units = torch.tensor(detail["adapter"]) * 16 + torch.tensor(detail["unit"])
    vectors, labels = vectors[units], torch.tensor(detail["cluster"])
    kept = sum(
        float(vectors[labels == label].sum(dim=0).square().sum()) / int((labels == label).sum())
        for label in labels.unique().tolist()
    )
    return 1.0 - kept / float(vectors.square().sum())


def test_lengths_are_exact_and_angles_nearly() -> None:
    stack = wide_stack()
    for found, expected in zip(sketched_gram(stack), gram(stack), strict=True):
        norms = expected.diagonal().sqrt()
        torch.testing.assert_close(found.diagonal(), expected.diagonal(), rtol=1e-5, atol=0)
        error = (found - expected) / torch.outer(norms, norms)
        assert 0.0 < float(error.abs().max()) < 6 / LENGTH**0.5
        assert float(error.square().mean()) <= 1 / LENGTH


def test_narrow_factors_are_not_sketched() -> None:
    stack = random_stack(ADAPTERS, (96, 2 * LENGTH), 16, 0)
    for found, expected in zip(sketched_gram(stack), gram(stack), strict=True):
        assert torch.equal(found, expected)


def test_equal_opposite_and_proportional_vectors_stay_so() -> None:
    a, b = torch.randn(3, SHAPE[1]), torch.randn(SHAPE[0], 3)
    a[1], a[2], b[:, 1], b[:, 2] = a[0], -3.0 * a[0], b[:, 0], 0.0
    for found in sketched_gram(stack_of([Factors(a, b)], [1.0])):
        length = found.diagonal().sqrt()
        assert float(found[0, 1]) == pytest.approx(float(length[0] * length[1]), rel=1e-6)
        assert abs(float(found[0, 2])) == pytest.approx(float(length[0] * length[2]), rel=1e-6)


def test_clusters_of_many_units_are_as_good_and_their_inertia_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    stack, options = wide_stack(), LegoOptions(variant="paper")
    assert stack.size > MANY
    merged = merge_lego([stack], 16, options, 0)[0]
    assert merged.detail["inertia"] == pytest.approx(lost(stack, merged), rel=1e-4)
    monkeypatch.setattr(lego_units, "MANY", stack.size)
    exact = merge_lego([stack], 16, options, 0)[0]
    assert exact.detail["inertia"] == pytest.approx(lost(stack, exact), rel=1e-4)
    assert merged.detail["inertia"] <= exact.detail["inertia"] * 1.004


def test_identical_adapters_return_the_adapter() -> None:
    pair = Factors(torch.randn(16, SHAPE[1]), torch.randn(SHAPE[0], 16))
    stack = stack_of([pair] * ADAPTERS, [1.0] * ADAPTERS)
    merged = merge_lego([stack], 16, LegoOptions(), 0)[0]
    wanted = pair.B @ pair.A
    torch.testing.assert_close(product(merged).float(), wanted, rtol=0, atol=1e-4 * float(wanted.norm()))
    assert merged.detail["inertia"] < 1e-5


@pytest.mark.parametrize("options", [{"inertia_budget": 0.5}, {"normalise": "joint"}, {"start": "random"}])
def test_what_is_measured_by_clusters_is_exact(options: dict[str, object]) -> None:
    stack = wide_stack()
    parsed = LegoOptions(**options)  # type: ignore[arg-type]
    assert lego_units.make_units([stack], parsed)[0].exact
    assert not lego_units.make_units([stack], LegoOptions())[0].exact
