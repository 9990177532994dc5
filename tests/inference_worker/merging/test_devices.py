"""Every merge method works where its input lies."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from reference import method_table as table
from reference.module_stacks import product, stack_of
from reference.placed import Placed
from reference.random_factors import random_factors

from inference_worker.merging import METHODS
from inference_worker.merging.output import Goal, rotation_noise, shape_result
from inference_worker.merging.registry import parse_options
from inference_worker.merging.stack import Merged, ModuleStack

#: Every method, and options that lead elsewhere.
CASES: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in METHODS),
    *(
        (name, {"space": space})
        for name in METHODS
        for space in ("dense", "core", "factor")
        if "space" in METHODS[name].info.options.model_fields
    ),
    *(
        (name, {"merge": how})
        for name in ("knots", "core_space")
        for how in ("ties", "dare_ties", "dare_linear", "sum")
    ),
    *(("lego", options) for options in ({"variant": "paper"}, {"inertia_budget": 0.7}, {"adapter_weights": "sample"})),
    *(("lego", {"normalise": way, "parameter_reweighting": "inf"}) for way in ("joint", "each")),
    ("cat", {"rotate": True}),
    ("core_space", {"basis": "updates"}),
    ("della", {"elect_signs": False, "rescale": "l1"}),
]


def some(method: str) -> ModuleStack:
    count = 2 if method in table.NOT_ALONE else 3
    return stack_of([random_factors(seed, 4) for seed in range(count)], [1.0, 0.5, 1.5][:count])


def merge(method: str, options: dict[str, Any], stack: ModuleStack) -> Merged:
    bound = METHODS[method]
    return bound.merge([stack], table.wanted_rank(method, 5), parse_options(bound, options), 0)[0]


@pytest.mark.parametrize(("method", "options"), CASES)
def test_tensors_are_made_where_the_input_is(method: str, options: dict[str, Any]) -> None:
    """Where no CUDA device is at hand: every tensor is made with a device, or from another tensor."""
    stack = some(method)
    with Placed():
        merged = merge(method, options, stack)
    noise = rotation_noise(0, stack.name, merged.A.shape[0])
    with Placed():
        shape_result(merged, Goal(most=2), None)
        shape_result(merged, Goal(energy=0.9), noise)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize(("method", "options"), CASES)
def test_cuda_gives_what_the_processor_gives(method: str, options: dict[str, Any]) -> None:
    here = some(method)
    moved = {field: getattr(here, field).cuda() for field in ("A", "B", "scale", "owner")}
    expected, found = merge(method, options, here), merge(method, options, replace(here, **moved))
    assert found.A.is_cuda
    assert found.B.is_cuda
    wanted = product(expected)
    torch.testing.assert_close(product(found).cpu(), wanted, rtol=0, atol=1e-4 * float(wanted.norm()))
    turned, _ = shape_result(found, Goal(most=3), rotation_noise(0, here.name, found.A.shape[0]))
    assert turned.A.is_cuda
