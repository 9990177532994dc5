"""Trimming whole adapters, against a reference that holds everything at once and sorts it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from reference import elementwise_merges as slow
from reference.module_stacks import product, stack_of
from reference.random_factors import MODULES, deltas, random_factors, write_factors
from torch import Tensor

from inference_worker.adapter_format import Factors, open_directory
from inference_worker.adapter_format.reader import AdapterReader
from inference_worker.contracts.merge_recipe import parse_recipe
from inference_worker.merging import METHODS, merge_adapters
from inference_worker.merging.elementwise import kept_count
from inference_worker.merging.registry import parse_options
from inference_worker.merging.replay import replay_recipe
from inference_worker.merging.stack import ModuleStack
from inference_worker.merging.trimming import Visit, find_limits, with_limits

WEIGHTS = [0.7, -0.4, 1.5]
SEED = 5
#: Modules of very different sizes, as those of real adapters are, so that trimming them together is another method.
SIZES = (3.0, 0.2, 1.0, 0.01)


def part(adapter: int, place: int, rank: int) -> Factors:
    factors = random_factors(100 * adapter + place, rank)
    return Factors(SIZES[(place + adapter) % 4] * factors.A, factors.B)


@pytest.fixture
def readers(tmp_path: Path) -> list[AdapterReader]:
    """Three adapters of different ranks; the last has no v_proj in the second layer."""
    return [
        write_factors(
            tmp_path / str(adapter),
            {name: part(adapter, place, 2 + adapter) for place, name in enumerate(MODULES[: 3 if adapter == 2 else 4])},
        )
        for adapter in range(3)
    ]


def trim_together(matrices: dict[str, Tensor], density: float) -> dict[str, Tensor]:
    """The paper's trim: one list of all entries, sorted; what is at least as large as the last one kept stays."""
    sizes = torch.cat([matrix.abs().reshape(-1) for matrix in matrices.values()]).sort(descending=True).values
    limit = sizes[max(1, int(density * len(sizes))) - 1]
    return {name: matrix * (matrix.abs() >= limit) for name, matrix in matrices.items()}


def reference(readers: list[AdapterReader], method: str, density: float) -> dict[str, Tensor]:
    """The whole merge with everything in memory."""
    trimmed = [trim_together(deltas(reader), density) for reader in readers]
    found = {}
    for name in MODULES:
        present = [(weight, own[name]) for weight, own in zip(WEIGHTS, trimmed, strict=True) if name in own]
        weights, rows = [weight for weight, _ in present], [slow.rows_of(matrix) for _, matrix in present]
        fused = slow.fuse(rows, weights) if method == "ties" else slow.weighted(rows, weights)
        found[name] = torch.tensor(fused, dtype=torch.float64)
    return found


@pytest.mark.parametrize("density", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("method", ["ties", "magnitude_prune"])
def test_dense_is_the_slow_reference(
    method: str, density: float, readers: list[AdapterReader], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through the pipeline, one module per group, three threads, three rows at a time."""
    monkeypatch.setattr("inference_worker.merging.loading.GROUP_BYTES", 1)
    monkeypatch.setattr("inference_worker.merging.spaces.BLOCK", 3 * 3 * 24)
    options = {"density": density, "trim": "model"}
    merge_adapters(readers, WEIGHTS, method, tmp_path / "out", rank=24, options=options, threads=3)
    merged, expected = deltas(open_directory(tmp_path / "out")), reference(readers, method, density)
    for name in MODULES:
        torch.testing.assert_close(merged[name], expected[name], rtol=0, atol=1e-5 * float(expected[name].norm()))


def test_the_paper_is_the_default_and_differs(readers: list[AdapterReader], tmp_path: Path) -> None:
    """The smallest module keeps next to nothing; by itself it keeps its share."""
    kept = {}
    for trim in ("model", "module", "default"):
        options = {"density": 0.3} | ({} if trim == "default" else {"trim": trim})
        merge_adapters(readers[:1], [1.0], "ties", tmp_path / trim, rank=24, options=options)
        found = deltas(open_directory(tmp_path / trim)).values()
        kept[trim] = [int((delta.abs() > max(1e-5, 1e-4 * float(delta.abs().max()))).sum()) for delta in found]
    assert kept["module"] == [288] * 4  # 30 % of 24 · 40
    assert sum(kept["model"]) == 1152
    assert 0 in kept["model"]
    weights = [(tmp_path / name / "adapter_model.safetensors").read_bytes() for name in ("model", "default", "module")]
    assert weights[0] == weights[1] != weights[2]


def test_factors_are_trimmed_a_with_a_and_b_with_b(tmp_path: Path) -> None:
    readers = [
        write_factors(tmp_path / str(adapter), {name: part(adapter, place, 3) for place, name in enumerate(MODULES)})
        for adapter in range(2)
    ]
    options = {"density": 0.3, "trim": "model", "space": "factor"}
    merge_adapters(readers, [1.0, 1.0], "magnitude_prune", tmp_path / "out", options=options)
    merged = deltas(open_directory(tmp_path / "out"))
    pieces = [
        [trim_together({name: getattr(reader.read(name), side) for name in MODULES}, 0.3) for reader in readers]
        for side in ("A", "B")
    ]
    for name in MODULES:
        a, b = (sum(own[name] for own in side) for side in pieces)
        assert isinstance(a, Tensor)
        assert isinstance(b, Tensor)
        expected = b.double() @ a.double()
        torch.testing.assert_close(merged[name], expected, rtol=0, atol=1e-5 * float(expected.norm()))


@pytest.mark.parametrize(
    ("method", "options"),
    [("ties", {"space": "core"}), ("knots", {}), ("core_space", {}), ("core_space", {"basis": "updates"})],
)
def test_other_coordinates_are_trimmed_over_all_modules(method: str, options: dict[str, str]) -> None:
    """Each module with the limit that all matrices of an adapter, held and sorted at once, give."""
    stacks = [
        stack_of([part(adapter, place, 2 + adapter) for adapter in range(3)], WEIGHTS, name=name)
        for place, name in enumerate(MODULES)
    ]
    chosen = METHODS[method]
    parsed = parse_options(chosen, {"density": 0.3, "trim": "model", **options})
    assert chosen.matrices is not None
    held = [updates for stack in stacks for updates in chosen.matrices(stack, parsed, SEED)]
    limits = {}
    for index in range(3):
        entries = torch.cat([updates.part(index, slice(0, updates.rows)).reshape(-1) for updates in held])
        sizes = entries.abs().to(torch.float32).sort(descending=True).values
        limits[index, held[0].kind] = float(sizes[kept_count(len(sizes), 0.3) - 1])
    alone = [chosen.merge([with_limits(stack, limits)], 9, parsed, SEED)[0] for stack in stacks]
    by_module = parse_options(chosen, {"density": 0.3, "trim": "module", **options})
    differs = 0.0
    for merged, expected, stack in zip(chosen.merge(stacks, 9, parsed, SEED), alone, stacks, strict=True):
        torch.testing.assert_close(product(merged), product(expected), rtol=0, atol=1e-6 * float(stack.B.norm()))
        differs += float((product(chosen.merge([stack], 9, by_module, SEED)[0]) - product(merged)).norm())
    assert differs > 1.0


@pytest.mark.parametrize("density", [0.001, 0.02, 0.5, 0.9, 0.999])
def test_the_limit_is_exact(density: float) -> None:
    """Also among equal sizes, zeros and sizes whose upper bits agree: bit for bit the entry at that rank."""
    generator = torch.Generator().manual_seed(3)
    b = torch.randn(50, 1, generator=generator).sign()
    rows = torch.cat([torch.randn(40, generator=generator), torch.full((30,), 0.25), torch.zeros(20)])
    rows = torch.cat([rows, 1.0 + 1e-6 * torch.rand(60, generator=generator)])
    stacks = [stack_of([Factors(scale * rows[None], b)], [1.0], name=f"m{scale}") for scale in (1.0, 1.0001, 1e-20)]
    options = parse_options(METHODS["ties"], {"density": density})
    matrices = METHODS["ties"].matrices
    assert matrices is not None

    def show(visit: Visit) -> None:
        for stack in stacks:
            for updates in matrices(stack, options, SEED):
                visit(updates)

    entries = torch.cat([(stack.B @ stack.A).reshape(-1) for stack in stacks]).abs().sort(descending=True).values
    expected = float(entries[kept_count(len(entries), density) - 1])
    assert find_limits(show, density) == {(0, "dense"): expected}


def test_limits_follow_the_adapter_and_not_its_place() -> None:
    stack = ModuleStack(
        name="m",
        A=torch.ones(3, 4),
        B=torch.ones(5, 3),
        scale=torch.ones(3, dtype=torch.float64),
        owner=torch.tensor([2, 5, 5]),
        ranks=(1, 2),
    )
    assert stack.members == (2, 5)
    limited = with_limits(stack, {(5, "dense"): 0.5, (2, "dense"): 2.0, (9, "dense"): 7.0})
    assert limited.limits["dense"].tolist() == [2.0, 0.5]


def test_recipes_of_before_replay_as_they_were_made(readers: list[AdapterReader], tmp_path: Path) -> None:
    """They have no ``trim``: every module was trimmed by itself. Newer ones say which it was."""
    options = {"density": 0.3, "trim": "module"}
    made = merge_adapters(readers, WEIGHTS, "ties", tmp_path / "made", options=options)
    assert made.recipe["options"]["trim"] == "module"
    newer = merge_adapters(readers, WEIGHTS, "ties", tmp_path / "newer", options={"density": 0.3})
    assert newer.recipe["options"]["trim"] == "model"
    earlier = json.loads((tmp_path / "made" / "recipe.json").read_text())
    del earlier["options"]["trim"]
    folders = [tmp_path / str(adapter) for adapter in range(3)]
    again = replay_recipe(parse_recipe(earlier), folders, tmp_path / "again").report
    for name in ("adapter_model.safetensors", "recipe.json"):
        assert again.files[name].read_bytes() == made.files[name].read_bytes()
    assert parse_recipe({**earlier, "method": "svd", "options": {}}).options == {}


def test_progress_never_goes_back(readers: list[AdapterReader], tmp_path: Path) -> None:
    seen: list[float] = []
    merge_adapters(readers, WEIGHTS, "ties", tmp_path / "out", progress=lambda fraction, words: seen.append(fraction))
    assert seen == sorted(seen)
    assert seen[-1] == 1.0
