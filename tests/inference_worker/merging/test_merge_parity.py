"""Merges against PEFT's own add_weighted_adapter and against dense matrices."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from peft.tuners.lora import LoraLayer
from reference.dense_merges import dense_deltas, truncate, weighted_sum
from reference.tiny_adapters import adapter_logits, load_peft, logits, make_adapter, peft_delta, peft_merge

from inference_worker.adapter_format import open_directory
from inference_worker.merging import merge_adapters

WEIGHTS = [0.7, -0.4, 1.5]


def merge(directories: list[Path], weights: list[float], method: str, out: Path, **options: object) -> Path:
    readers = [open_directory(directory) for directory in directories]
    merge_adapters(readers, weights, method, out, **options)  # type: ignore[arg-type]
    return out


def assert_close(actual: dict[str, torch.Tensor], expected: dict[str, torch.Tensor], tolerance: float = 2e-5) -> None:
    assert actual.keys() == expected.keys()
    for name, delta in expected.items():
        torch.testing.assert_close(actual[name].double(), delta.double(), rtol=0, atol=tolerance * float(delta.norm()))


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Equal ranks and targets, different alphas."""
    root = tmp_path_factory.mktemp("three")
    return [make_adapter(root / str(index), index, lora_alpha=4 + 3 * index) for index in range(3)]


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Different ranks, different targets, one rank-stabilised."""
    root = tmp_path_factory.mktemp("mixed")
    return [
        make_adapter(root / "0", 0, r=4, targets=["q_proj", "v_proj"]),
        make_adapter(root / "1", 1, r=6, targets=["q_proj", "down_proj"], use_rslora=True),
        make_adapter(root / "2", 2, r=2, targets=["v_proj", "up_proj"], lora_alpha=5),
    ]


@pytest.mark.parametrize("method", ["cat", "linear", "svd"])
def test_method_equals_peft(method: str, three: list[Path], tmp_path: Path) -> None:
    options = {"svd_rank": 5, "svd_full_matrices": False} if method == "svd" else {}
    rank = 5 if method == "svd" else None
    reference = peft_merge(three, WEIGHTS, method, **options)
    out = merge(three, WEIGHTS, method, tmp_path / "out", rank=rank)
    assert_close(peft_delta(load_peft(out), "default"), peft_delta(reference, "merged"))
    torch.testing.assert_close(adapter_logits(out), logits(reference), rtol=0, atol=1e-4)


def test_factors_of_cat_and_linear_equal_peft(three: list[Path], tmp_path: Path) -> None:
    for method in ("cat", "linear"):
        reference = peft_merge(three, WEIGHTS, method)
        ours = load_peft(merge(three, WEIGHTS, method, tmp_path / method))
        module = "base_model.model.model.layers.1.mlp.up_proj"
        for factor in ("lora_A", "lora_B"):
            expected = getattr(reference.get_submodule(module), factor)["merged"].weight
            actual = getattr(ours.get_submodule(module), factor)["default"].weight
            torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-6)


def test_mixed_ranks_and_targets_sum_exactly(mixed: list[Path], tmp_path: Path) -> None:
    out = merge(mixed, WEIGHTS, "cat", tmp_path / "out")
    expected = weighted_sum([dense_deltas(directory) for directory in mixed], WEIGHTS)
    assert_close(dense_deltas(out), expected)
    assert_close(peft_delta(load_peft(out), "default"), expected)
    with open_directory(out) as reader:
        assert {info.rank for info in reader.modules.values()} == {2, 6, 10}


def test_svd_equals_dense_svd(mixed: list[Path], tmp_path: Path) -> None:
    readers = [open_directory(directory) for directory in mixed]
    report = merge_adapters(readers, WEIGHTS, "svd", tmp_path, rank=3)
    total = weighted_sum([dense_deltas(directory) for directory in mixed], WEIGHTS)
    best = {name: truncate(delta, 3) for name, delta in total.items()}
    assert_close(dense_deltas(tmp_path), best)
    for module in report.modules:
        missing = float((total[module.name] - best[module.name]).norm() / total[module.name].norm())
        assert module.error == pytest.approx(missing, abs=1e-5)


def test_svd_takes_the_largest_rank_unless_told(mixed: list[Path], tmp_path: Path) -> None:
    readers = [open_directory(directory) for directory in mixed]
    report = merge_adapters(readers, WEIGHTS, "svd", tmp_path)
    ranks = {module.name: module.rank for module in report.modules}
    assert ranks["model.layers.0.self_attn.q_proj"] == 6
    assert ranks["model.layers.0.self_attn.v_proj"] == 4
    assert ranks["model.layers.0.mlp.up_proj"] == 2


def test_linear_reports_its_cross_terms(three: list[Path], tmp_path: Path) -> None:
    readers = [open_directory(directory) for directory in three]
    report = merge_adapters(readers, WEIGHTS, "linear", tmp_path)
    total = weighted_sum([dense_deltas(directory) for directory in three], WEIGHTS)
    found = dense_deltas(tmp_path)
    for module in report.modules:
        expected = float((found[module.name] - total[module.name]).norm() / total[module.name].norm())
        assert module.error == pytest.approx(expected, rel=1e-3)
        assert expected > 0.1


def test_rotation_hides_the_parents_and_changes_nothing(three: list[Path], tmp_path: Path) -> None:
    plain = merge(three, WEIGHTS, "cat", tmp_path / "plain")
    turned = merge(three, WEIGHTS, "cat", tmp_path / "turned", options={"rotate": True}, seed=3)
    assert_close(dense_deltas(turned), dense_deltas(plain))
    first, second = (open_directory(path).read("model.layers.0.mlp.up_proj") for path in (plain, turned))
    cosine = torch.nn.functional.cosine_similarity(first.A, second.A)
    assert float(cosine.abs().max()) < 0.99


def test_weight_zero_means_absent(three: list[Path], tmp_path: Path) -> None:
    for method in ("cat", "svd", "lego", "linear"):
        with_zero = merge(three, [1.0, 0.0, -0.5], method, tmp_path / f"{method}-zero")
        without = merge([three[0], three[2]], [1.0, -0.5], method, tmp_path / method)
        assert_close(dense_deltas(with_zero), dense_deltas(without))


def test_rank_stabilised_result_has_scale_one(tmp_path: Path) -> None:
    """PEFT 0.21.2 scales such merges by alpha/sqrt(r) = 2.83 instead of 1."""
    parents = [make_adapter(tmp_path / str(seed), seed, use_rslora=True) for seed in range(2)]
    out = merge(parents, [0.5, 0.5], "cat", tmp_path / "out")
    model = load_peft(out)
    assert {module.scaling["default"] for module in model.modules() if isinstance(module, LoraLayer)} == {1.0}
    expected = weighted_sum([dense_deltas(directory) for directory in parents], [0.5, 0.5])
    assert_close(peft_delta(model, "default"), expected)


def test_patterns_of_rank_and_alpha_are_honoured(tmp_path: Path) -> None:
    """Plain names, anchored names and regular expressions, as PEFT reads them."""
    parent = make_adapter(
        tmp_path / "parent",
        1,
        targets=["q_proj", "up_proj"],
        rank_pattern={r".*layers\.1.*q_proj": 7, "model.layers.0.mlp.up_proj": 3},
        alpha_pattern={"^model.layers.1.mlp.up_proj": 11, "q_proj": 2},
    )
    for method in ("cat", "svd", "linear", "lego"):
        out = merge([parent], [1.0], method, tmp_path / method, **({"rank": 7} if method in ("svd", "lego") else {}))
        torch.testing.assert_close(adapter_logits(out), adapter_logits(parent), rtol=0, atol=2e-5)
        with open_directory(out) as reader:
            assert sorted({info.rank for info in reader.modules.values()}) == [3, 4, 7]
