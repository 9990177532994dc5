"""Norms, effective ranks and signatures against dense matrices; values that are not finite; adapters without effect."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.random_factors import MODULES, deltas, random_factors, write_factors, write_random
from reference.tiny_adapters import edit_tensors

from inference_worker.adapter_format import Factors, inspect_adapter
from inference_worker.adapter_format.signature import SignatureBuilder, probe
from inference_worker.adapter_format.statistics import measure
from inference_worker.contracts.inspect import InspectResult

PREFIX = "base_model.model."


def inspect(directory: Path) -> InspectResult:
    return inspect_adapter(directory / "adapter_config.json", directory / "adapter_model.safetensors")


def signature(factors: dict[str, Factors]) -> np.ndarray:
    builder = SignatureBuilder()
    for name, pair in factors.items():
        builder.add(name, probe(name, pair.A, pair.B))
    return np.array(builder.finish())


def test_norm_and_effective_rank_equal_the_dense_ones(tmp_path: Path) -> None:
    with write_random(tmp_path, 1, rank=6) as reader:
        dense = deltas(reader)
    result = inspect(tmp_path)
    assert [module.name for module in result.modules] == list(MODULES)
    for module in result.modules:
        sigma = torch.linalg.svdvals(dense[module.name])
        share = sigma[:6] / sigma.sum()
        assert module.norm == pytest.approx(float(dense[module.name].norm()), rel=1e-5)
        assert module.effective_rank == pytest.approx(float((-(share * share.log()).sum()).exp()), rel=1e-4)
        assert (module.rank, module.d_in, module.d_out) == (6, 24, 40)


def test_effective_rank_of_known_spectra() -> None:
    a, b = torch.eye(8, 24), torch.eye(40, 8)
    assert measure(a, b).effective_rank == pytest.approx(8.0)
    b[:, 1:] = 0.0
    assert measure(a, b).effective_rank == pytest.approx(1.0)
    assert measure(a, b).norm == pytest.approx(1.0)


@pytest.mark.parametrize("size", [1e-30, 1e-12, 1e15, 1e30])
def test_tiny_and_huge_values_are_measured(size: float, tmp_path: Path) -> None:
    pair = random_factors(1, 4)
    write_factors(tmp_path, {MODULES[0]: Factors(pair.A * size, pair.B * size)}).close()
    result = inspect(tmp_path)
    assert result.valid
    assert result.modules[0].norm == pytest.approx(float((pair.B @ pair.A).norm()) * size**2, rel=1e-4)
    assert np.linalg.norm(result.signature) == pytest.approx(1.0)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("part", ["lora_A", "lora_B"])
def test_values_that_are_not_finite(value: float, part: str, tmp_path: Path) -> None:
    write_random(tmp_path, 1).close()
    name = f"{PREFIX}{MODULES[1]}.{part}.weight"

    def poison(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        tensors[name][1, 2] = value
        return tensors

    edit_tensors(tmp_path, poison)
    result = inspect(tmp_path)
    assert not result.valid
    assert [(problem.code, problem.place) for problem in result.problems] == [("nonfinite_values", name)]
    assert "1 of " in result.problems[0].message
    assert result.signature == ()


def test_large_finite_sums_are_no_fault(tmp_path: Path) -> None:
    write_factors(tmp_path, {MODULES[0]: Factors(torch.full((4, 24), 3e38), torch.ones(40, 4))}).close()
    assert inspect(tmp_path).valid


def test_no_effect(tmp_path: Path) -> None:
    pair = random_factors(1, 4)
    silent = Factors(pair.A, torch.zeros_like(pair.B))
    write_factors(tmp_path / "all", dict.fromkeys(MODULES, silent)).close()
    result = inspect(tmp_path / "all")
    assert result.valid
    assert [problem.code for problem in result.problems] == ["no_effect"]
    assert set(result.signature) == {0.0}
    write_factors(tmp_path / "one", {MODULES[0]: pair, MODULES[1]: silent}).close()
    assert [(p.code, p.place) for p in inspect(tmp_path / "one").problems] == [("modules_without_effect", MODULES[1])]


def test_half_precision_and_doubles_are_read(tmp_path: Path) -> None:
    with write_random(tmp_path, 1) as reader:
        dense = deltas(reader)
    for dtype, tolerance in ((torch.float64, 1e-6), (torch.float16, 1e-3), (torch.bfloat16, 1e-2)):
        edit_tensors(tmp_path, lambda tensors, dtype=dtype: {name: t.to(dtype) for name, t in tensors.items()})
        result = inspect(tmp_path)
        assert result.valid
        for module in result.modules:
            assert module.norm == pytest.approx(float(dense[module.name].norm()), rel=tolerance)
        assert [problem.code for problem in result.problems] == (["float64"] if dtype == torch.float64 else [])


def test_probes_are_bilinear_forms_of_delta() -> None:
    one, two = random_factors(1, 4), random_factors(2, 7)
    both = Factors(torch.cat([one.A, two.A]), torch.cat([one.B, two.B], dim=1))
    total = probe("m", one.A, one.B) + probe("m", two.A, two.B)
    torch.testing.assert_close(probe("m", both.A, both.B), total, rtol=1e-4, atol=1e-3)
    spread = probe("m", one.A, one.B).norm() / 32**0.5
    assert 0.6 < float(spread / (one.B @ one.A).norm()) < 1.6


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), order=st.permutations(range(4)))
def test_signature_is_blind_to_gauge(seed: int, order: list[int]) -> None:
    factors = {name: random_factors(seed + index, 4) for index, name in enumerate(MODULES)}
    mixing = torch.linalg.qr(torch.randn(4, 4, generator=torch.Generator().manual_seed(seed)).double()).Q.float()
    changed = {}
    for name in reversed(MODULES):
        a, b = factors[name].A[list(order)], factors[name].B[:, list(order)]
        changed[name] = Factors(mixing.T @ a * 3.0, b @ mixing / 3.0)
    assert float(signature(factors) @ signature(changed)) == pytest.approx(1.0, abs=1e-5)


def test_signature_tells_adapters_apart() -> None:
    factors = {name: random_factors(index, 4) for index, name in enumerate(MODULES)}
    others = {name: random_factors(100 + index, 4) for index, name in enumerate(MODULES)}
    near = {name: Factors(pair.A + 0.02 * random_factors(7, 4).A, pair.B) for name, pair in factors.items()}
    assert np.linalg.norm(signature(factors)) == pytest.approx(1.0)
    assert abs(float(signature(factors) @ signature(others))) < 0.4
    assert float(signature(factors) @ signature(near)) > 0.98
    scaled = {name: Factors(pair.A, 2.0 * pair.B) for name, pair in factors.items()}
    assert float(signature(factors) @ signature(scaled)) == pytest.approx(1.0, abs=1e-6)
    renamed = {name.replace("q_proj", "k_proj"): pair for name, pair in factors.items()}
    assert float(signature(factors) @ signature(renamed)) < 0.98


def test_signature_stays_the_same_between_versions() -> None:
    """Stored signatures are compared with new ones, so these numbers may never change."""
    found = signature({"model.layers.0.self_attn.q_proj": Factors(torch.eye(2, 4), torch.eye(3, 2))})
    np.testing.assert_allclose(found[:4], [-0.12909944, 0.0, -0.03227486, 0.0], atol=1e-6)
