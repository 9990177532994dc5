"""Elementwise methods against PEFT's ``add_weighted_adapter`` (factors) and against mergekit (dense)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from reference.mergekit_cases import POSITIVE, SAME, SEED, SELECTED, SHAPE, STORED, given, updates
from reference.module_stacks import product, stack_of
from reference.tiny_adapters import load_peft, make_adapter, peft_delta, peft_merge
from safetensors.torch import load_file

from inference_worker.adapter_format import open_directory
from inference_worker.errors import Refused
from inference_worker.merging import merge_adapters
from inference_worker.merging.compatibility import choose_members
from inference_worker.merging.elementwise import Uniforms, adapter_identities
from inference_worker.merging.loading import Arena, load_group
from inference_worker.merging.registry import METHODS, parse_options

WEIGHTS = [0.7, -0.4, 1.5]


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Equal ranks and targets, different alphas, one of them rank-stabilised."""
    root = tmp_path_factory.mktemp("three")
    return [
        make_adapter(root / str(index), index, lora_alpha=4 + 3 * index, use_rslora=index == 1) for index in range(3)
    ]


def merge(directories: list[Path], method: str, out: Path, **options: Any) -> dict[str, torch.Tensor]:
    """Our merge in factor space, as PEFT itself reads it."""
    readers = [open_directory(directory) for directory in directories]
    merge_adapters(readers, WEIGHTS, method, out, options={"space": "factor", **options}, seed=SEED)
    return peft_delta(load_peft(out), "default")


def assert_close(actual: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert actual.keys() == expected.keys()
    for name, delta in expected.items():
        torch.testing.assert_close(actual[name], delta, rtol=0, atol=2e-5 * float(delta.norm()))


@pytest.mark.filterwarnings("ignore:The density 1.0 is greater")
@pytest.mark.parametrize("density", [0.2, 0.5, 1.0])
@pytest.mark.parametrize("majority", ["total", "frequency"])
def test_ties_of_factors_is_peft(majority: str, density: float, three: list[Path], tmp_path: Path) -> None:
    reference = peft_merge(three, WEIGHTS, "ties", density=density, majority_sign_method=majority)
    actual = merge(three, "ties", tmp_path / "out", density=density, majority=majority, trim="module")
    assert_close(actual, peft_delta(reference, "merged"))


@pytest.mark.parametrize("density", [0.3, 0.8])
def test_magnitude_prune_of_factors_is_peft(density: float, three: list[Path], tmp_path: Path) -> None:
    reference = peft_merge(three, WEIGHTS, "magnitude_prune", density=density)
    actual = merge(three, "magnitude_prune", tmp_path / "out", density=density)
    assert_close(actual, peft_delta(reference, "merged"))


def our_uniforms(directories: list[Path]) -> Iterator[torch.Tensor]:
    """Our random numbers in the order in which PEFT asks for some: per module, A of all adapters, then B."""
    readers = [open_directory(directory) for directory in directories]
    members = choose_members(readers, WEIGHTS)
    for name in peft_delta(load_peft(directories[0]), "default"):
        stack = load_group(members, [name], Arena())[0]
        for tag, rows, cols in (("A", stack.ranks[0], stack.A.shape[1]), ("B", stack.B.shape[0], stack.ranks[0])):
            drawn = Uniforms(SEED, f"{name}\0{tag}", adapter_identities(stack), cols)
            yield from drawn.take(rows, stack.A.device)


@pytest.mark.parametrize(
    ("method", "majority"), [("dare_linear", "total"), ("dare_ties", "total"), ("dare_ties", "frequency")]
)
def test_dare_of_factors_is_peft(
    method: str, majority: str, three: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PEFT is given our random numbers in place of torch's, everything else is its own."""
    numbers = our_uniforms(three)

    def bernoulli(probabilities: torch.Tensor) -> torch.Tensor:
        return (next(numbers).reshape(probabilities.shape) < probabilities).to(probabilities)

    with monkeypatch.context() as patch:
        patch.setattr(torch, "bernoulli", bernoulli)
        reference = peft_merge(three, WEIGHTS, method, density=0.6, majority_sign_method=majority)
    assert next(numbers, None) is None
    choice = {"majority": majority} if method == "dare_ties" else {}
    assert_close(merge(three, method, tmp_path / "out", density=0.6, **choice), peft_delta(reference, "merged"))


def test_factors_want_equal_ranks_and_updates_do_not(tmp_path: Path) -> None:
    parents = [make_adapter(tmp_path / "r4", 1), make_adapter(tmp_path / "r6", 2, r=6)]
    readers = [open_directory(parent) for parent in parents]
    for space in ("dense", "core"):
        merge_adapters(readers, [1.0, 1.0], "ties", tmp_path / space, options={"space": space})
        assert {info.rank for info in open_directory(tmp_path / space).modules.values()} == {6}
    with pytest.raises(Refused, match="rank 4 in r4 and 6 in r6"):
        merge_adapters(readers, [1.0, 1.0], "ties", tmp_path / "factor", options={"space": "factor"})
    assert not (tmp_path / "factor").exists()


def test_biases_of_updates_are_refused_where_they_have_no_place(tmp_path: Path) -> None:
    parents = [make_adapter(tmp_path / str(seed), seed, targets=["q_proj"], lora_bias=True) for seed in range(2)]
    readers = [open_directory(parent) for parent in parents]
    with pytest.raises(Refused, match="lora_bias"):
        merge_adapters(readers, [1.0, 1.0], "ties", tmp_path / "ties")
    with pytest.raises(Refused, match="put λ into the weights"):
        merge_adapters(readers, [1.0, 1.0], "task_arithmetic", tmp_path / "sum", options={"scaling": 0.5})
    merge_adapters(readers, [0.5, 0.5], "task_arithmetic", tmp_path / "sum")


# mergekit is no dependency: it brings a stack of its own. What its code made of dense updates is stored.


@pytest.fixture(scope="module")
def mergekits() -> dict[str, torch.Tensor]:
    stored = load_file(STORED)
    for name, tensor in given().items():
        message = "the cases are not those that the file was made of: run tests/fixtures/make_mergekit.py"
        torch.testing.assert_close(tensor, stored[name], rtol=0, atol=1e-6, msg=message)
    return stored


def ours(method: str, weights: list[float], **options: Any) -> torch.Tensor:
    chosen = METHODS[method]
    stack = stack_of(updates(), weights)
    return product(chosen.merge([stack], min(SHAPE), parse_options(chosen, options), SEED)[0])


@pytest.mark.parametrize("case", range(len(SAME)))
def test_updates_as_in_mergekit(case: int, mergekits: dict[str, torch.Tensor]) -> None:
    method, options, theirs, _ = SAME[case]
    expected = mergekits[f"{theirs}.{case}"]
    actual = ours(method, POSITIVE, **options)
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-5 * float(expected.norm()))


@pytest.mark.parametrize("select", SELECTED)
def test_sce_as_in_mergekit(select: float, mergekits: dict[str, torch.Tensor]) -> None:
    expected = mergekits[f"sce.{select}"]
    actual = ours("sce", [1.0] * 3, space="dense", select=select)
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-5 * float(expected.norm()))
