"""Elementwise methods against PEFT's ``add_weighted_adapter`` (factors) and, where it is there, mergekit (dense)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from reference.module_stacks import product, stack_of
from reference.random_factors import random_factors
from reference.tiny_adapters import load_peft, make_adapter, peft_delta, peft_merge

from inference_worker.adapter_format import Factors, open_directory
from inference_worker.errors import Refused
from inference_worker.merging import merge_adapters
from inference_worker.merging.compatibility import choose_members
from inference_worker.merging.elementwise import Uniforms, adapter_identities
from inference_worker.merging.loading import Arena, load_group
from inference_worker.merging.registry import METHODS, parse_options

WEIGHTS = [0.7, -0.4, 1.5]
SEED = 3


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
    actual = merge(three, "ties", tmp_path / "out", density=density, majority=majority)
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


# mergekit is no dependency: it brings a stack of its own. With it on the path these run its code on dense updates.

SHAPE = (14, 20)


def updates() -> list[Factors]:
    parts = [random_factors(seed, rank, SHAPE[1], SHAPE[0]) for seed, rank in enumerate((2, 4, 3))]
    return [Factors(pair.A.double(), pair.B.double()) for pair in parts]


def ours(method: str, weights: list[float], **options: Any) -> torch.Tensor:
    chosen = METHODS[method]
    stack = stack_of(updates(), weights)
    return product(chosen.merge([stack], min(SHAPE), parse_options(chosen, options), SEED)[0])


def mergekits(method: str, weights: list[float] | None, patch: pytest.MonkeyPatch, **parameters: Any) -> torch.Tensor:
    """mergekit's own method on a base of zeros; its coins fall by our random numbers."""
    merge_methods = pytest.importorskip("mergekit.merge_methods", reason="mergekit is not installed")
    stack = stack_of(updates(), weights or [1.0] * 3)
    drawn = Uniforms(SEED, f"{stack.name}\0dense", adapter_identities(stack), SHAPE[1])
    numbers = iter(drawn.take(SHAPE[0], torch.device("cpu")))
    patch.setattr(torch, "bernoulli", lambda chances: (next(numbers) < chances).to(chances))
    deltas = [product(pair) for pair in updates()]
    if weights is not None:
        parameters["weight"] = dict(enumerate(weights, 1))
    merged = merge_methods.merge_tensors(
        [torch.zeros_like(deltas[0]), *deltas], method, base_index=0, parameters=parameters
    )
    assert isinstance(merged, torch.Tensor)
    return merged


POSITIVE = [0.7, 0.4, 1.5]
#: Our method and options, mergekit's method and parameters.
SAME: list[tuple[str, dict[str, Any], str, dict[str, Any]]] = [
    ("task_arithmetic", {"scaling": 0.8}, "task_arithmetic", {"lambda": 0.8}),
    ("ties", {"density": 0.4, "average": "weight"}, "ties", {"density": 0.4}),
    (
        "ties",
        {"density": 0.4, "average": "sum", "scaling": 2.0},
        "ties",
        {"density": 0.4, "normalize": False, "lambda": 2.0},
    ),
    ("dare_linear", {"density": 0.6, "rescale": "l1"}, "dare_linear", {"density": 0.6}),
    ("dare_ties", {"density": 0.6, "rescale": "l1", "average": "sum"}, "dare_ties", {"density": 0.6}),
    (
        "della",
        {"density": 0.6, "epsilon": 0.4, "rescale": "l1", "average": "weight"},
        "della",
        {"density": 0.6, "epsilon": 0.2},
    ),
    (
        "della",
        {"density": 0.6, "epsilon": 0.4, "rescale": "l1", "elect_signs": False},
        "della_linear",
        {"density": 0.6, "epsilon": 0.2},
    ),
    ("breadcrumbs", {"density": 0.5, "gamma": 0.1}, "breadcrumbs", {"density": 0.5, "gamma": 0.1}),
    (
        "breadcrumbs",
        {"density": 0.5, "gamma": 0.1, "elect_signs": True, "average": "sum"},
        "breadcrumbs_ties",
        {"density": 0.5, "gamma": 0.1},
    ),
]


@pytest.mark.parametrize(("method", "options", "theirs", "parameters"), SAME)
def test_updates_as_in_mergekit(
    method: str, options: dict[str, Any], theirs: str, parameters: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        expected = mergekits(theirs, POSITIVE, patch, **parameters)
    actual = ours(method, POSITIVE, **options)
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-5 * float(expected.norm()))


@pytest.mark.parametrize("select", [0.25, 1.0])
def test_sce_as_in_mergekit(select: float, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        expected = mergekits("sce", None, patch, select_topk=select)
    actual = ours("sce", [1.0] * 3, space="dense", select=select)
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-5 * float(expected.norm()))
