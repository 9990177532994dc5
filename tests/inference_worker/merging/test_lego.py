"""LoRA-LEGO's oracles (arXiv 2409.16167) and its invariances."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.dense_merges import balanced_units, lego_delta
from reference.random_factors import MODULES, deltas, random_factors, write_factors, write_random

from inference_worker.adapter_format import Factors, open_directory
from inference_worker.adapter_format.reader import AdapterReader
from inference_worker.contracts.merge_methods import LegoOptions
from inference_worker.merging import merge_adapters
from inference_worker.merging.lego import merge_lego
from inference_worker.merging.stack import Merged, ModuleStack

NAME = "model.layers.0.self_attn.q_proj"


def stack(factors: list[Factors], weights: list[float]) -> ModuleStack:
    ranks = tuple(pair.A.shape[0] for pair in factors)
    repeats = torch.tensor(ranks)
    return ModuleStack(
        name=NAME,
        A=torch.cat([pair.A for pair in factors]),
        B=torch.cat([pair.B for pair in factors], dim=1),
        scale=torch.tensor(weights, dtype=torch.float64).repeat_interleave(repeats),
        owner=torch.arange(len(ranks)).repeat_interleave(repeats),
        ranks=ranks,
    )


def lego(factors: list[Factors], weights: list[float], rank: int | None = None, **options: object) -> Merged:
    return merge_lego([stack(factors, weights)], rank, LegoOptions(**options), 0)[0]  # type: ignore[arg-type]


def product(merged: Merged | Factors) -> torch.Tensor:
    return merged.B.double() @ merged.A.double()


def assert_same(actual: torch.Tensor, expected: torch.Tensor, tolerance: float = 2e-5) -> None:
    torch.testing.assert_close(actual.double(), expected.double(), rtol=0, atol=tolerance * float(expected.norm()))


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("reweighting", ["l2", "inf", "none"])
@pytest.mark.parametrize("normalise", ["off", "joint", "each"])
def test_identical_adapters_return_the_adapter(count: int, reweighting: str, normalise: str) -> None:
    pair = random_factors(1, 6)
    merged = lego([pair] * count, [1.0] * count, 6, parameter_reweighting=reweighting, normalise=normalise)
    assert merged.A.shape[0] == 6
    assert_same(product(merged), product(pair))


@pytest.mark.parametrize("weights", [[1.0, 1.0, 1.0], [0.5, -2.0, 0.1]])
def test_full_rank_equals_the_sum_times_the_output_reweighting(weights: list[float]) -> None:
    parts = [random_factors(seed, rank) for seed, rank in enumerate((3, 5, 2))]
    total = torch.stack([weight * product(pair) for weight, pair in zip(weights, parts, strict=True)]).sum(dim=0)
    for reweighting in ("never", "growing"):
        assert_same(product(lego(parts, weights, 10, output_reweighting=reweighting)), total)
    mean_rank = (3 + 5 + 2) / 3
    assert_same(product(lego(parts, weights, 10, output_reweighting="always")), (mean_rank / 10) ** 0.5 * total)


def test_partition_gives_the_papers_formula() -> None:
    """Whatever partition k-means reports, the result is what the paper's formula makes of it, computed slowly."""
    parts = [random_factors(seed, 4) for seed in range(3)]
    weights = [1.0, -0.7, 1.3]
    merged = lego(parts, weights, 5, output_reweighting="always")
    units = balanced_units([(pair.A, pair.B, weight) for pair, weight in zip(parts, weights, strict=True)])
    clusters: list[list[int]] = [[] for _ in range(5)]
    rows = zip(*(merged.detail[key] for key in ("adapter", "unit", "cluster")), strict=True)
    for adapter, unit, cluster in rows:
        clusters[cluster].append(4 * adapter + unit)
    assert sorted(index for members in clusters for index in members) == list(range(12))
    assert_same(product(merged), lego_delta(units, clusters, mean_rank=4))


def test_groups_of_alike_units_are_found() -> None:
    """Three adapters that are noisy, mirrored and rescaled copies of four directions: four clusters, one per copy."""
    base = random_factors(7, 4)
    copies = []
    for seed in range(3):
        noise = random_factors(50 + seed, 4)
        gauge = torch.tensor([0.1, -2.0, 30.0, -1.0]).roll(seed)
        a, b = base.A + 0.05 * noise.A, base.B + 0.05 * noise.B
        copies.append(Factors((a * gauge.unsqueeze(1)).roll(seed, 0), (b / gauge).roll(seed, 1)))
    merged = lego(copies, [1.0] * 3, 4)
    found: dict[int, set[tuple[int, int]]] = {}
    for adapter, unit, cluster in zip(*(merged.detail[key] for key in ("adapter", "unit", "cluster")), strict=True):
        found.setdefault(cluster, set()).add((adapter, (unit - adapter) % 4))
    assert sorted(tuple(sorted(members)) for members in found.values()) == [
        tuple((adapter, direction) for adapter in range(3)) for direction in range(4)
    ]
    assert_same(product(merged), product(base), tolerance=0.1)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), clusters=st.integers(1, 12), data=st.data())
def test_order_and_gauge_do_not_matter(seed: int, clusters: int, data: st.DataObject) -> None:
    """Permuting ranks and adapters, rescaling and mirroring units leave the result alone up to rounding."""
    parts = [random_factors(3 * seed + index, 4) for index in range(3)]
    weights = [1.0, 0.5, -1.5]
    expected = product(lego(parts, weights, clusters))
    order = data.draw(st.permutations(range(3)))
    changed = []
    for index in order:
        ranks = torch.tensor(data.draw(st.permutations(range(4))))
        signs = torch.tensor(data.draw(st.lists(st.sampled_from([-1.0, 1.0, -3.0, 0.25]), min_size=4, max_size=4)))
        a, b = parts[index].A[ranks], parts[index].B[:, ranks]
        changed.append(Factors(a * signs.unsqueeze(1), b / signs))
    assert_same(product(lego(changed, [weights[index] for index in order], clusters)), expected, tolerance=1e-4)


def test_ties_are_ordered_by_content() -> None:
    """All units of one size: the order must come from their content, not from their place."""
    pair = random_factors(3, 8)
    a, b = pair.A / pair.A.norm(dim=1, keepdim=True), pair.B / pair.B.norm(dim=0)
    expected = product(lego([Factors(a, b)], [1.0], 3))
    for seed in range(5):
        ranks = torch.randperm(8, generator=torch.Generator().manual_seed(seed))
        assert_same(product(lego([Factors(a[ranks], b[:, ranks])], [1.0], 3)), expected, tolerance=1e-4)


def test_pruning_keeps_the_asked_rank_and_the_size() -> None:
    pair = random_factors(2, 8)
    merged = lego([pair], [1.0], 3)
    assert merged.A.shape == (3, 24)
    assert 0.5 < float(product(merged).norm() / product(pair).norm()) < 1.5


def test_rank_is_clamped_to_the_distinct_units(tmp_path: Path) -> None:
    """One module with doubled units among ordinary ones: its rank shrinks, and the pattern says so."""
    pair = random_factors(5, 4)
    doubled = Factors(pair.A[[0, 1, 0, 1]], pair.B[:, [0, 1, 0, 1]])
    factors = {name: random_factors(index, 4) for index, name in enumerate(MODULES)} | {MODULES[1]: doubled}
    with write_factors(tmp_path / "in", factors) as reader:
        report = merge_adapters([reader], [1.0], "lego", tmp_path / "out", rank=4)
    assert {module.name: module.rank for module in report.modules} == {
        name: 2 if name == MODULES[1] else 4 for name in MODULES
    }
    config = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    assert config["rank_pattern"] == config["alpha_pattern"] == {MODULES[1]: 2}


def test_silent_units_are_left_out() -> None:
    pair = random_factors(5, 4)
    b = pair.B.clone()
    b[:, 1] = 0.0
    merged = lego([Factors(pair.A, b)], [1.0], 4)
    assert merged.A.shape[0] == 3
    assert_same(product(merged), b.double() @ pair.A.double())
    empty = lego([Factors(pair.A, torch.zeros_like(b))], [1.0], 4)
    assert empty.A.shape[0] == 1
    assert not product(empty).any()


@pytest.mark.parametrize("reweighting", ["l2", "inf"])
def test_centroids_are_brought_back_to_their_members_norm(reweighting: str) -> None:
    parts = [random_factors(seed, 4) for seed in range(3)]
    merged = lego(parts, [1.0] * 3, 2, parameter_reweighting=reweighting, output_reweighting="never")
    units = [torch.cat(unit) for unit in balanced_units([(pair.A, pair.B, 1.0) for pair in parts])]
    order = 2 if reweighting == "l2" else torch.inf
    for cluster in range(2):
        members = [
            units[4 * adapter + unit]
            for adapter, unit, label in zip(
                *(merged.detail[key] for key in ("adapter", "unit", "cluster")), strict=True
            )
            if label == cluster
        ]
        expected = float(torch.stack([member.norm(order) for member in members]).mean())
        centre = torch.cat([merged.A[cluster], merged.B[:, cluster]])
        assert float(centre.norm(order)) == pytest.approx(expected, rel=1e-5)


def test_report_names_every_unit(tmp_path: Path) -> None:
    readers: list[AdapterReader] = [
        write_random(tmp_path / "0", 0, rank=3),
        write_random(tmp_path / "1", 1, rank=5, modules=MODULES[:2]),
    ]
    merge_adapters(readers, [1.0, 1.0], "lego", tmp_path / "out", rank=4)
    report = json.loads((tmp_path / "out" / "merge_report.json").read_text())
    assert report["adapters"] == ["0", "1"]
    by_name = {module["name"]: module for module in report["modules"]}
    first, last = by_name[MODULES[0]]["detail"], by_name[MODULES[3]]["detail"]
    expected = [(0, unit) for unit in range(3)] + [(1, unit) for unit in range(5)]
    assert sorted(zip(first["adapter"], first["unit"], strict=True)) == expected
    assert set(first["cluster"]) == {0, 1, 2, 3}
    assert first["size"] == sorted(first["size"], reverse=True)
    assert set(last["adapter"]) == {0}
    assert last["inertia"] == 0.0  # three units, at most three clusters
    assert last["isolated"] == [0, 1, 2]
    assert last["purity"] == [1.0, 1.0, 1.0]
    assert report["clusters"]["modules"] == 4
    assert report["clusters"]["units"] == [4 * 3, 2 * 5]
    with open_directory(tmp_path / "out") as merged:
        assert deltas(merged)[MODULES[3]].shape == (40, 24)
