"""What holds for every merge method, whatever it does: order, scale, copies, nothing, strangers, corner shapes.

A new method is covered by being registered; where it must be placed in a table of ``method_table``, a test says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from reference import method_table as table
from reference.module_stacks import product, stack_of
from reference.random_factors import MODULES, random_factors, write_factors, write_random
from reference.tiny_adapters import edit_tensors
from torch import Tensor

from inference_worker.adapter_format import Factors, open_directory
from inference_worker.errors import BadInput
from inference_worker.merging import METHODS, merge_adapters
from inference_worker.merging.stack import Merged

EVERY = sorted(METHODS)
WEIGHTS = [1.0, -0.6, 1.7]


def merge(
    method: str,
    parts: Sequence[Factors],
    weights: Sequence[float],
    rank: int | None = None,
    scales: Sequence[float] | None = None,
    **options: Any,
) -> Merged:
    """Merge one module, by default to the rank of the exact sum."""
    bound = METHODS[method]
    wanted = table.wanted_rank(method, rank or sum(part.A.shape[0] for part in parts))
    stack = stack_of(parts, weights, scales)
    return bound.merge([stack], wanted, bound.info.options.model_validate(options), 5)[0]


def some(method: str, rank: int = 4, **shape: int) -> tuple[list[Factors], list[float]]:
    """Adapters of equal rank that any method takes, with weights of both signs."""
    count = 2 if method in table.NOT_ALONE else 3
    return [random_factors(seed, rank, **shape) for seed in range(count)], WEIGHTS[:count]


def assert_close(actual: Tensor, expected: Tensor, tolerance: float = 2e-5) -> None:
    torch.testing.assert_close(actual.double(), expected.double(), rtol=0, atol=tolerance * float(expected.norm()))


def shuffled(parts: Sequence[Factors]) -> list[Factors]:
    generator = torch.Generator().manual_seed(9)
    orders = [torch.randperm(part.A.shape[0], generator=generator) for part in parts]
    return [Factors(part.A[order], part.B[:, order]) for part, order in zip(parts, orders, strict=True)]


def aligned(parts: Sequence[Factors]) -> list[Factors]:
    """Adapters all of whose singular values are equal."""
    return [Factors(torch.linalg.qr(p.A.T).Q.T.contiguous(), torch.linalg.qr(p.B).Q) for p in parts]


@pytest.mark.parametrize("method", EVERY)
def test_order_of_adapters_does_not_matter(method: str) -> None:
    parts, weights = some(method)
    assert_close(product(merge(method, parts[::-1], weights[::-1], 5)), product(merge(method, parts, weights, 5)), 1e-4)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("method", EVERY)
def test_order_of_ranks_does_not_matter(method: str, ties: bool) -> None:
    """Also where all singular values of an adapter are equal, so that its singular vectors are anybody's choice."""
    parts, weights = some(method)
    parts = aligned(parts) if ties else parts
    options = table.WHOLE[method] if ties and method in ("tsv_m", "iso_cts") else {}
    found, expected = (product(merge(method, one, weights, **options)) for one in (shuffled(parts), parts))
    if method in table.ORDER_OF_RANKS:
        assert float((found - expected).norm()) > 0.1 * float(expected.norm())
    else:
        assert_close(found, expected, 1e-4)


@pytest.mark.parametrize("factor", [1e-4, 3.0, 1e4])
@pytest.mark.parametrize("method", EVERY)
def test_scaling_all_adapters_scales_the_result(method: str, factor: float) -> None:
    parts, weights = some(method)
    scaled = merge(method, parts, weights, 5, scales=[factor] * len(parts))
    assert_close(product(scaled) / factor, product(merge(method, parts, weights, 5)), 1e-4)


@pytest.mark.parametrize("method", EVERY)
def test_scaling_all_weights_scales_the_result(method: str) -> None:
    parts, weights = some(method)
    scaled = product(merge(method, parts, [4.0 * weight for weight in weights], 5))
    assert_close(scaled / (1.0 if method in table.SHARES else 4.0), product(merge(method, parts, weights, 5)), 1e-4)


@pytest.mark.parametrize("method", EVERY)
def test_negating_all_weights_negates_the_result(method: str) -> None:
    parts, weights = some(method)
    negated = product(merge(method, parts, [-weight for weight in weights], 5))
    assert_close(negated, -product(merge(method, parts, weights, 5)), 1e-4)


@pytest.mark.parametrize("method", EVERY)
def test_identical_adapters(method: str) -> None:
    part = random_factors(3, 4)
    count = 2 if method in table.NOT_ALONE else 3
    found = product(merge(method, [part] * count, [1.0] * count, 4, **table.WHOLE[method]))
    if method in table.NEVER_NEUTRAL:
        sigma = torch.linalg.svdvals(found)
        assert_close(sigma[:4], sigma[0].expand(4))
        assert float(sigma[4]) < 1e-5 * float(sigma[0])
    else:
        assert_close(found, table.IDENTICAL[method] * product(part))


@pytest.mark.parametrize("rank", [1, 4])
@pytest.mark.parametrize("method", table.single_methods())
def test_one_adapter_comes_back(method: str, rank: int) -> None:
    part = random_factors(3, rank)
    assert method in table.NEUTRAL or method in table.NEVER_NEUTRAL
    found = product(merge(method, [part], [1.0], **table.NEUTRAL.get(method, {})))
    if method in table.NEUTRAL or rank == 1:
        assert_close(found, product(part))
    else:
        assert float((found - product(part)).norm()) > 0.05 * float(product(part).norm())


@pytest.mark.parametrize("method", EVERY)
def test_zero_adapter(method: str) -> None:
    parts, weights = some(method)
    nothing = Factors(random_factors(8, 4).A, torch.zeros(40, 4))
    expected = product(merge(method, parts[:2], weights[:2], 5))
    if method in table.NOT_ALONE:
        assert_close(product(merge(method, [parts[0], nothing], [1.0, 1.0])), 0.5 * product(parts[0]))
        return
    found = product(merge(method, [*parts[:2], nothing], [*weights[:2], 1.0], 5))
    if method in table.ZERO_IS_SEEN:
        assert float((found - expected).norm()) > 1e-3 * float(expected.norm())
    else:
        assert_close(found, expected, 1e-4)


@pytest.mark.parametrize("method", EVERY)
def test_nothing_but_zero_adapters(method: str) -> None:
    parts, weights = some(method)
    merged = merge(method, [Factors(part.A, torch.zeros_like(part.B)) for part in parts], weights)
    assert float(product(merged).abs().max()) == 0.0
    assert merged.A.shape[0] == merged.B.shape[1] >= 1
    both = [Factors(torch.zeros_like(part.A), torch.zeros_like(part.B)) for part in parts]
    assert float(product(merge(method, both, weights)).abs().max()) == 0.0


@pytest.mark.parametrize("method", EVERY)
def test_adapters_that_cancel(method: str) -> None:
    """Δ − Δ: what is left is at most rounding, or what the method means to leave."""
    part = random_factors(3, 4)
    merged = merge(method, [part, part], [1.0, -1.0])
    assert bool(torch.isfinite(merged.A).all() and torch.isfinite(merged.B).all())
    if METHODS[method].info.exact or method in (
        "karcher",
        "slerp",
        "iso_c",
        "ties",
        "dare_ties",
        "knots",
        "core_space",
    ):
        assert float(product(merged).norm()) < 1e-5 * float(product(part).norm())


@pytest.mark.parametrize("method", EVERY)
def test_strangers(method: str) -> None:
    """Adapters that share neither inputs nor outputs do not disturb each other."""
    parts = []
    for index in range(2):
        a, b = torch.zeros(3, 24), torch.zeros(40, 3)
        own = random_factors(index, 3, d_in=12, d_out=20)
        a[:, 12 * index : 12 * index + 12], b[20 * index : 20 * index + 20] = own.A, own.B
        parts.append(Factors(a, b))
    first, second = map(product, parts)
    found = product(merge(method, parts, [1.0, 1.0], **table.WHOLE[method]))
    if method in table.NO_SUM_OF_STRANGERS:
        assert float((found - first - second).norm()) > 0.05 * float((first + second).norm())
    else:
        assert_close(found, first + second)


@pytest.mark.parametrize(("rank", "d_in", "d_out"), [(3, 5, 4), (3, 24, 4), (1, 1, 7), (5, 3, 40), (1, 24, 40)])
@pytest.mark.parametrize("method", EVERY)
def test_corner_shapes(method: str, rank: int, d_in: int, d_out: int) -> None:
    """Σr beyond a side of the matrix, a single input, ranks of one."""
    parts, weights = some(method, rank, d_in=d_in, d_out=d_out)
    merged = merge(method, parts, weights)
    assert (merged.A.shape[1], merged.B.shape[0]) == (d_in, d_out)
    assert 1 <= merged.A.shape[0] == merged.B.shape[1] <= rank * len(parts)
    assert bool(torch.isfinite(product(merged)).all())
    if METHODS[method].info.exact:
        assert_close(product(merged), sum(w * product(p) for w, p in zip(weights, parts, strict=True)))  # type: ignore[arg-type]
    if method in table.NEUTRAL:
        assert_close(product(merge(method, parts[:1], [1.0], **table.NEUTRAL[method])), product(parts[0]))


@pytest.mark.parametrize("rank", [1, 3, 100])
@pytest.mark.parametrize("method", [name for name in EVERY if METHODS[name].info.rank == "choose"])
def test_chosen_rank_is_kept(method: str, rank: int) -> None:
    parts, weights = some(method)
    merged = merge(method, parts, weights, rank)
    assert merged.A.shape[0] <= rank
    assert merged.error is None or 0.0 <= merged.error <= 1.0


@pytest.mark.parametrize("method", EVERY)
def test_inputs_are_left_alone(method: str) -> None:
    """The factors lie in buffers that are used again; the result must not, and they must not change."""
    parts, weights = some(method)
    stack = stack_of(parts, weights)
    before = stack.A.clone(), stack.B.clone(), stack.scale.clone()
    bound = METHODS[method]
    merged = bound.merge([stack], table.wanted_rank(method, 4), bound.info.options(), 0)[0]
    result = product(merged)
    assert all(torch.equal(old, new) for old, new in zip(before, (stack.A, stack.B, stack.scale), strict=True))
    stack.A.zero_()
    stack.B.zero_()
    assert torch.equal(product(merged), result)


@pytest.mark.parametrize("method", EVERY)
def test_weight_zero_is_absent(method: str, tmp_path: Path) -> None:
    """Byte by byte, also for methods that draw random numbers."""
    readers = [write_random(tmp_path / str(seed), seed, modules=MODULES[:2]) for seed in range(3)]
    merge_adapters(readers, [1.0, 0.0, -0.5], method, tmp_path / "with")
    merge_adapters([readers[0], readers[2]], [1.0, -0.5], method, tmp_path / "without")
    first, second = ((tmp_path / name / "adapter_model.safetensors").read_bytes() for name in ("with", "without"))
    assert first == second


@pytest.mark.parametrize("method", EVERY)
def test_values_that_are_not_finite_are_refused_by_name(method: str, tmp_path: Path) -> None:
    good = write_random(tmp_path / "good", 1)
    write_factors(tmp_path / "bad", {name: random_factors(2, 4) for name in MODULES}).close()

    def poison(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        tensors[f"base_model.model.{MODULES[2]}.lora_A.weight"][1, 3] = torch.nan
        return tensors

    edit_tensors(tmp_path / "bad", poison)
    with pytest.raises(BadInput, match=rf"bad: {MODULES[2]} holds values that are not finite"):
        merge_adapters([good, open_directory(tmp_path / "bad")], [1.0, 1.0], method, tmp_path / "out")
    assert not (tmp_path / "out").exists()
