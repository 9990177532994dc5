"""Ranks by rule, cutting, rotation, chosen modules, weights by layer: against dense matrices and PEFT itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from reference.dense_merges import dense_deltas, truncate, weighted_sum
from reference.random_factors import deltas, random_factors, write_factors
from reference.tiny_adapters import adapter_logits, load_peft, make_adapter, peft_delta

from inference_worker.adapter_format import open_directory
from inference_worker.adapter_format.reader import Factors
from inference_worker.contracts.merge_output import (
    EnergyRank,
    GroupWeight,
    InertiaRank,
    MergeOutput,
    ModuleRank,
    factor_of,
)
from inference_worker.errors import BadInput
from inference_worker.merging import METHODS, MergeReport, merge_adapters

WEIGHTS = [1.0, -0.5]


@pytest.fixture
def parents(tmp_path: Path) -> list[Path]:
    return [make_adapter(tmp_path / f"p{seed}", seed, r=4 + 2 * seed, targets=["q_proj", "up_proj"]) for seed in (0, 1)]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two adapters of rank 4, made once."""
    folder = tmp_path_factory.mktemp("pair")
    return [make_adapter(folder / f"e{seed}", seed, targets=["q_proj", "up_proj"]) for seed in range(2)]


def merge(
    folders: list[Path], method: str, out: Path, weights: list[float] | None = None, **options: Any
) -> MergeReport:
    readers = [open_directory(folder) for folder in folders]
    try:
        return merge_adapters(readers, weights or WEIGHTS, method, out, **options)
    finally:
        for reader in readers:
            reader.close()


def total(folders: list[Path], weights: list[float] | None = None) -> dict[str, torch.Tensor]:
    return weighted_sum([dense_deltas(folder) for folder in folders], weights or WEIGHTS)


def assert_equal(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> None:
    assert found.keys() == wanted.keys()
    for name, delta in wanted.items():
        torch.testing.assert_close(found[name].double(), delta, rtol=0, atol=2e-6 * float(delta.norm()) + 1e-9)


def test_cat_cut_to_a_rank_is_svd(parents: list[Path], tmp_path: Path) -> None:
    report = merge(parents, "cat", tmp_path / "out", output=MergeOutput(rank=3))
    exact = total(parents)
    assert_equal(dense_deltas(tmp_path / "out"), {name: truncate(delta, 3) for name, delta in exact.items()})
    for module in report.modules:
        missing = float((exact[module.name] - truncate(exact[module.name], 3)).norm() / exact[module.name].norm())
        assert (module.rank, module.error) == (3, pytest.approx(missing, rel=1e-4))
        assert module.cut == pytest.approx(missing, rel=1e-4)


def test_linear_cut_says_both_errors(pair: list[Path], tmp_path: Path) -> None:
    whole = merge(pair, "linear", tmp_path / "whole")
    cut = merge(pair, "linear", tmp_path / "cut", output=MergeOutput(rank=1))
    result, full = dense_deltas(tmp_path / "cut"), dense_deltas(tmp_path / "whole")
    assert_equal(result, {name: truncate(delta, 1) for name, delta in full.items()})
    for before, after in zip(whole.modules, cut.modules, strict=True):
        lost = float((result[after.name] - full[after.name]).norm() / full[after.name].norm())
        assert (after.error, after.cut) == (before.error, pytest.approx(lost, rel=1e-4))


def test_same_is_the_largest_rank_of_the_parents(parents: list[Path], tmp_path: Path) -> None:
    """In PEFT, too: one module has another rank than its neighbours."""
    parents.append(make_adapter(tmp_path / "third", 5, r=9, targets=["model.layers.1.self_attn.q_proj"]))
    weights = [1.0, -0.5, 2.0]
    report = merge(parents, "cat", tmp_path / "out", weights, output=MergeOutput(rank="same"))
    ranks = {module.name: module.rank for module in report.modules}
    assert ranks.pop("model.layers.1.self_attn.q_proj") == 9
    assert set(ranks.values()) == {6}
    assert_equal(peft_delta(load_peft(tmp_path / "out"), "default"), dense_deltas(tmp_path / "out"))


def test_energy_keeps_the_smallest_rank_that_suffices(parents: list[Path], tmp_path: Path) -> None:
    for method in ("svd", "cat"):
        report = merge(parents, method, tmp_path / method, output=MergeOutput(rank=EnergyRank(energy=0.8)))
        exact = total(parents)
        for module in report.modules:
            squares = torch.linalg.svdvals(exact[module.name]).square()
            share = squares.cumsum(0) / squares.sum()
            assert module.rank == int((share < 0.8).sum()) + 1
            assert module.error == pytest.approx(float(1.0 - share[module.rank - 1]) ** 0.5, rel=1e-3)
        assert_equal(peft_delta(load_peft(tmp_path / method), "default"), dense_deltas(tmp_path / method))


def test_all_the_energy_is_the_rank_itself(tmp_path: Path) -> None:
    """Two equal adapters have the rank of one; rounding does not count."""
    parent = make_adapter(tmp_path / "p", 1)
    report = merge([parent, parent], "cat", tmp_path / "out", output=MergeOutput(rank=EnergyRank(energy=1.0)))
    assert {module.rank for module in report.modules} == {4}
    assert_equal(dense_deltas(tmp_path / "out"), total([parent, parent]))


def test_ranks_by_group_reload_in_peft(parents: list[Path], tmp_path: Path) -> None:
    output = MergeOutput(
        rank=5,
        ranks=(
            ModuleRank(modules="0/q_proj", rank=2),
            ModuleRank(modules="q_proj", rank=EnergyRank(energy=0.5)),
            ModuleRank(modules="model.layers.1.mlp.up_proj", rank="same"),
        ),
    )
    report = merge(parents, "svd", tmp_path / "out", output=output)
    ranks = {module.name: module.rank for module in report.modules}
    assert ranks["model.layers.0.self_attn.q_proj"] == 2
    assert ranks["model.layers.1.self_attn.q_proj"] < 5
    assert ranks["model.layers.0.mlp.up_proj"] == 5
    assert ranks["model.layers.1.mlp.up_proj"] == 6
    assert_equal(peft_delta(load_peft(tmp_path / "out"), "default"), dense_deltas(tmp_path / "out"))


def test_inertia_is_for_clusters(parents: list[Path], tmp_path: Path) -> None:
    half = merge(parents, "lego", tmp_path / "half", output=MergeOutput(rank=InertiaRank(inertia=0.5)))
    most = merge(parents, "lego", tmp_path / "most", output=MergeOutput(rank=InertiaRank(inertia=0.95)))
    assert all(a.rank < b.rank <= 10 for a, b in zip(half.modules, most.modules, strict=True))
    with pytest.raises(BadInput, match=r"svd has no clusters .* write energy:0.9"):
        merge(parents, "svd", tmp_path / "x", output=MergeOutput(rank=InertiaRank(inertia=0.9)))
    with pytest.raises(BadInput, match=r"lego chooses its rank by the inertia .* write inertia:0.9"):
        merge(parents, "lego", tmp_path / "x", output=MergeOutput(rank=EnergyRank(energy=0.9)))


@pytest.mark.parametrize("method", sorted(METHODS))
def test_pruning_one_adapter_by_any_method(method: str, pair: list[Path], tmp_path: Path) -> None:
    if method == "slerp":
        pytest.skip("takes exactly two adapters")
    parent = pair[0]
    report = merge([parent], method, tmp_path / "out", [1.0], output=MergeOutput(rank=2))
    assert {module.rank for module in report.modules} == {2}
    if METHODS[method].info.exact:
        assert_equal(dense_deltas(tmp_path / "out"), {n: truncate(d, 2) for n, d in dense_deltas(parent).items()})


@pytest.mark.parametrize("method", sorted(METHODS))
def test_ranks_that_differ_reload_by_any_method(method: str, pair: list[Path], tmp_path: Path) -> None:
    ranks = (ModuleRank(modules="0/q_proj", rank=2), ModuleRank(modules="mlp", rank="same"))
    report = merge(pair, method, tmp_path / "out", output=MergeOutput(rank=1, ranks=ranks))
    found = {module.name: module.rank for module in report.modules}
    assert found == {
        "model.layers.0.self_attn.q_proj": 2,
        "model.layers.1.self_attn.q_proj": 1,
        "model.layers.0.mlp.up_proj": 4,
        "model.layers.1.mlp.up_proj": 4,
    }
    assert_equal(peft_delta(load_peft(tmp_path / "out"), "default"), dense_deltas(tmp_path / "out"))


# --- rotation ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", sorted(METHODS))
def test_rotation_leaves_the_update(method: str, pair: list[Path], tmp_path: Path) -> None:
    for rotate in (False, True):
        merge(pair, method, tmp_path / str(rotate), seed=4, output=MergeOutput(rotate=rotate))
    assert_equal(dense_deltas(tmp_path / "True"), dense_deltas(tmp_path / "False"))


def test_rotated_factors_are_balanced_and_show_no_unit(parents: list[Path], tmp_path: Path) -> None:
    merge(parents, "cat", tmp_path / "out", output=MergeOutput(rotate=True))
    with open_directory(tmp_path / "out") as turned, open_directory(parents[0]) as parent:
        for name in turned.modules:
            a, b = turned.read(name)
            scale = float(a.norm() ** 2)
            torch.testing.assert_close(a @ a.T, b.T @ b, rtol=0, atol=1e-5 * scale)
            own = parent.read(name)
            near = torch.nn.functional.cosine_similarity(own.A[:, None], a[None], dim=2).abs().max()
            assert float(near) < 0.97


def test_rotated_factors_follow_from_the_update_alone(tmp_path: Path) -> None:
    """Another split of the same update into units gives the same file up to signs of singular vectors: what the
    parents' units were cannot be read off, not even by who knows the seed."""
    generator = torch.Generator().manual_seed(7)
    factors = random_factors(3, 6)
    mixing = torch.randn(6, 6, generator=generator, dtype=torch.float64) + 3 * torch.eye(6, dtype=torch.float64)
    other = Factors((mixing @ factors.A.double()).float(), (factors.B.double() @ mixing.inverse()).float())
    spectra = []
    for index, pair in enumerate((factors, other)):
        reader = write_factors(tmp_path / str(index), {"layers.0.q_proj": pair})
        out = tmp_path / f"out{index}"
        merge_adapters([reader], [1.0], "cat", out, output=MergeOutput(rotate=True), seed=1)
        a, b = open_directory(out).read("layers.0.q_proj")
        # Gram matrices are all that a rank space holds beside the update; both sides have the same one.
        spectra.append((torch.linalg.eigvalsh(a @ a.T), torch.linalg.eigvalsh(b.T @ b)))
    for left, right in zip(*spectra, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-4)


def test_rotation_leaves_out_directions_that_only_the_parents_have(tmp_path: Path) -> None:
    """Two adapters that cancel in one direction: it is in the span of their units, but not in the update."""
    factors = random_factors(3, 4)
    opposite = Factors(factors.A.clone(), factors.B.clone())
    opposite.B[:, 0] *= -1.0
    readers = [write_factors(tmp_path / str(i), {"layers.0.q": pair}) for i, pair in enumerate((factors, opposite))]
    merge_adapters(readers, [1.0, 1.0], "cat", tmp_path / "out", output=MergeOutput(rotate=True))
    a, b = open_directory(tmp_path / "out").read("layers.0.q")
    assert a.shape[0] == 3
    hidden = torch.linalg.qr(factors.B[:, 1:]).Q
    secret = factors.B[:, 0] - hidden @ (hidden.T @ factors.B[:, 0])
    assert float((secret / secret.norm() @ b).norm() / b.norm()) < 1e-5


def test_other_seeds_turn_otherwise(parents: list[Path], tmp_path: Path) -> None:
    for seed in (1, 2):
        merge(parents, "svd", tmp_path / str(seed), output=MergeOutput(rotate=True), seed=seed)
    one, two = (open_directory(tmp_path / str(seed)).read("model.layers.0.mlp.up_proj") for seed in (1, 2))
    assert not torch.allclose(one.A, two.A, atol=1e-3)


# --- modules and layers -----------------------------------------------------------------------------------------------


def test_chosen_modules_only(parents: list[Path], tmp_path: Path) -> None:
    merge(parents, "cat", tmp_path / "out", output=MergeOutput(include=("0", "q_proj"), exclude=("1/q_proj",)))
    wanted = {name: delta for name, delta in total(parents).items() if ".layers.0." in name}
    found = dense_deltas(tmp_path / "out")
    assert_equal(found, wanted)
    # PEFT adapts no module beside them: target_modules names each, not the suffix that layer 1 has as well.
    assert_equal(peft_delta(load_peft(tmp_path / "out"), "default"), wanted)


def test_what_is_left_out_is_not_carried(tmp_path: Path) -> None:
    saved = make_adapter(tmp_path / "saved", 1, modules_to_save=["lm_head"])
    merge([saved], "cat", tmp_path / "without", [1.0], output=MergeOutput(exclude=("lm_head",)))
    merge([saved], "cat", tmp_path / "with", [1.0], output=MergeOutput(exclude=("0",)))
    with open_directory(tmp_path / "without") as reader:
        assert (list(reader.extras), reader.config.modules_to_save) == ([], ())
    with open_directory(tmp_path / "with") as reader:
        assert list(reader.extras) == ["lm_head.weight"]
    # What two adapters bring of their own is no conflict where it is left out.
    both = [saved, make_adapter(tmp_path / "other", 2, modules_to_save=["lm_head"])]
    merge(both, "cat", tmp_path / "both", output=MergeOutput(exclude=("lm_head",)))


def test_weights_by_group(parents: list[Path], tmp_path: Path) -> None:
    groups = (GroupWeight(modules="0/q_proj", factor=-2.0), GroupWeight(modules="1", factor=0.0))
    report = merge(parents, "cat", tmp_path / "out", layer_weights=[groups, ()])
    one, two = (dense_deltas(folder) for folder in parents)
    wanted = {name: factor_of(groups, name) * one[name] - 0.5 * two[name] for name in one}
    assert_equal(dense_deltas(tmp_path / "out"), wanted)
    ranks = {module.name: module.rank for module in report.modules}
    assert ranks["model.layers.1.mlp.up_proj"] == 6  # the first adapter is absent there


def test_weight_zero_everywhere_is_absent(parents: list[Path], tmp_path: Path) -> None:
    nowhere = (GroupWeight(modules="*", factor=0.0),)
    merge(parents, "cat", tmp_path / "groups", layer_weights=[nowhere, ()])
    merge(parents, "cat", tmp_path / "zero", [0.0, -0.5])
    assert (tmp_path / "groups/adapter_model.safetensors").read_bytes() == (
        tmp_path / "zero/adapter_model.safetensors"
    ).read_bytes()


def test_updates_biases_follow_the_groups(tmp_path: Path) -> None:
    parent = make_adapter(tmp_path / "p", 1, targets=["q_proj"], lora_bias=True)
    merge([parent], "cat", tmp_path / "groups", [1.0], layer_weights=[(GroupWeight(modules="*", factor=0.5),)])
    merge([parent], "cat", tmp_path / "half", [0.5])
    torch.testing.assert_close(adapter_logits(tmp_path / "groups"), adapter_logits(tmp_path / "half"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            {"output": MergeOutput(include=("k_proj",))},
            "“k_proj” fits no module of these adapters; .* names like model",
        ),
        ({"output": MergeOutput(exclude=("*",))}, "Nothing is left to merge"),
        ({"output": MergeOutput(ranks=(ModuleRank(modules="9", rank=3),))}, "“9” fits no module"),
        ({"layer_weights": [(), (GroupWeight(modules="7", factor=1.0),)]}, "“7” fits no module of p1"),
        ({"layer_weights": [()]}, "Layer weights for 1 of 2 adapters"),
        ({"layer_weights": [(GroupWeight(modules="*", factor=0.0),)] * 2}, "Nothing is left to merge"),
        ({"rank": 0}, "0 is no rank"),
    ],
)
def test_refused(arguments: dict[str, Any], words: str, parents: list[Path], tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=words):
        merge(parents, "svd", tmp_path / "out", **arguments)
    assert not (tmp_path / "out").exists()


def test_dora_is_not_scaled_by_groups(tmp_path: Path) -> None:
    dora = make_adapter(tmp_path / "dora", 1, use_dora=True)
    with pytest.raises(BadInput, match="at weight 1"):
        merge([dora], "cat", tmp_path / "out", [1.0], layer_weights=[(GroupWeight(modules="0", factor=0.5),)])


def test_rank_above_what_there_is(tmp_path: Path) -> None:
    reader = write_factors(tmp_path / "p", {"layers.0.q": random_factors(1, 2)})
    report = merge_adapters([reader], [1.0], "svd", tmp_path / "out", rank=512)
    assert report.rank == 2
    assert_equal(deltas(open_directory(tmp_path / "out")), deltas(reader))
