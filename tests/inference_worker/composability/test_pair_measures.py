"""What two adapters have in common, against dense matrices and against what must not matter."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from reference.dense_pairs import compare_dense, dense
from reference.random_factors import MODULES, random_factors, write_factors, write_random
from safetensors.torch import load_file, save_file

from inference_worker.adapter_format import Factors
from inference_worker.adapter_format.reader import AdapterReader, open_directory
from inference_worker.composability import compare_adapters
from inference_worker.composability.measures import compare_units
from inference_worker.composability.units import units_of
from inference_worker.contracts.composability import PairMeasures
from inference_worker.errors import BadInput

NAME = MODULES[0]


def related(seed: int, rank: int, other: Factors, share: float) -> Factors:
    """Random factors that lie partly in the spaces of ``other``."""
    own = random_factors(seed, rank)
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(rank, other.A.shape[0], generator=generator) * share
    return Factors(own.A + mix @ other.A, own.B + other.B @ mix.T)


def compare(one: AdapterReader, two: AdapterReader) -> PairMeasures:
    return compare_adapters([one, two])[0]


def alike(found: PairMeasures, expected: PairMeasures, tolerance: float = 2e-4) -> None:
    left, right = found.model_dump(exclude={"layers"}), expected.model_dump(exclude={"layers"})
    for name, value in left.items():
        assert value == pytest.approx(right[name], rel=tolerance, abs=tolerance), name
    for a, b in zip(found.layers, expected.layers, strict=True):
        assert a.layer == b.layer
        assert a.norms == pytest.approx(b.norms, rel=tolerance)


@pytest.mark.parametrize(("rank_one", "rank_two"), [(4, 4), (2, 7), (1, 3), (16, 24)])
def test_one_module_against_dense_matrices(rank_one: int, rank_two: int) -> None:
    one = random_factors(1, rank_one)
    two = related(2, rank_two, one, 0.7)
    pair = compare_units(units_of(NAME, *one), units_of(NAME, *two))
    expected = compare_dense(one.B.double() @ one.A.double(), two.B.double() @ two.A.double())
    assert pair is not None
    assert pair.inner == pytest.approx(expected["inner"], rel=1e-4)
    for name in ("row_overlap", "column_overlap", "unit_overlap"):
        assert getattr(pair, name) == pytest.approx(expected[name], abs=1e-5), name
    for name in ("row_angle", "column_angle"):
        assert getattr(pair, name) == pytest.approx(expected[name], abs=0.1), name
    assert pair.answers[0] == pytest.approx(expected["second_on_first"], rel=1e-4)
    assert pair.answers[1] == pytest.approx(expected["first_on_second"], rel=1e-4)
    # The module is smaller than the sample, so every position was looked at.
    assert pair.sign_agreement == pytest.approx(expected["signs"], abs=2e-3)


def test_whole_adapters_against_dense_matrices(tmp_path: Path) -> None:
    one, two = write_random(tmp_path / "one", 1, rank=3), write_random(tmp_path / "two", 2, rank=5)
    found = compare(one, two)
    pairs = [(dense(one, name), dense(two, name)) for name in MODULES]
    norms = [sum(float(pair[side].norm() ** 2) for pair in pairs) ** 0.5 for side in (0, 1)]
    assert found.norms == pytest.approx(norms, rel=1e-5)
    inner = sum(float((a * b).sum()) for a, b in pairs)
    assert found.cosine == pytest.approx(inner / (norms[0] * norms[1]), abs=1e-5)
    weights = [float(a.norm() * b.norm()) for a, b in pairs]
    rows = [compare_dense(a, b)["row_overlap"] for a, b in pairs]
    assert found.row_overlap == pytest.approx(
        sum(w * r for w, r in zip(weights, rows, strict=True)) / sum(weights), rel=1e-4
    )
    answer = sum(compare_dense(a, b)["second_on_first"] ** 2 for a, b in pairs) ** 0.5
    assert found.leak[0] == pytest.approx(answer / norms[0], rel=1e-4)
    assert [layer.layer for layer in found.layers] == ["layer 0", "layer 1"]


def test_how_the_factors_are_written_does_not_matter(tmp_path: Path) -> None:
    """Any invertible matrix between B and A (a permutation of ranks, a rescaling, a rotation) gives the same Δ."""
    one, two = write_random(tmp_path / "one", 1), write_random(tmp_path / "two", 2, rank=6)
    generator = torch.Generator().manual_seed(5)
    turned = {}
    for name in MODULES:
        gauge = torch.randn(4, 4, generator=generator) + 2 * torch.eye(4)
        a, b = one.read(name)
        turned[name] = Factors(gauge @ a, b @ torch.linalg.inv(gauge))
    alike(compare(write_factors(tmp_path / "turned", turned), two), compare(one, two))


def test_exchanging_both_turns_the_measures(tmp_path: Path) -> None:
    one, two = write_random(tmp_path / "one", 1), write_random(tmp_path / "two", 2, rank=6, modules=MODULES[:3])
    found = compare(two, one)
    alike(found, compare(one, two).turned())
    assert (found.shared, found.only) == (3, (0, 1))


def test_other_adapters_do_not_matter(tmp_path: Path) -> None:
    readers = [write_random(tmp_path / str(seed), seed, rank=3 + seed) for seed in range(4)]
    together = compare_adapters(readers, [(1, 3), (0, 2)])
    assert together == [compare(readers[1], readers[3]), compare(readers[0], readers[2])]
    assert len(compare_adapters(readers)) == 6


def test_an_adapter_with_itself(tmp_path: Path) -> None:
    one = write_random(tmp_path / "one", 1)
    found = compare(one, one)
    for name in ("cosine", "row_overlap", "column_overlap", "unit_overlap", "sign_agreement"):
        assert getattr(found, name) == pytest.approx(1.0, abs=1e-5), name
    assert found.row_angle == pytest.approx(0.0, abs=0.1)
    assert found.leak == pytest.approx((1.0, 1.0), abs=1e-5)


def test_an_adapter_with_its_opposite(tmp_path: Path) -> None:
    one = write_random(tmp_path / "one", 1)
    negated = {name: Factors(one.read(name).A, -2 * one.read(name).B) for name in MODULES}
    found = compare(one, write_factors(tmp_path / "two", negated))
    assert found.cosine == pytest.approx(-1.0, abs=1e-5)
    assert found.sign_agreement == 0.0
    assert found.row_overlap == pytest.approx(1.0, abs=1e-5)
    assert found.norms[1] == pytest.approx(2 * found.norms[0], rel=1e-5)
    assert found.leak == pytest.approx((2.0, 0.5), rel=1e-4)


def test_adapters_that_share_no_direction(tmp_path: Path) -> None:
    first, second = torch.eye(24)[:4], torch.eye(24)[4:8]
    left, right = torch.eye(40)[:, :4], torch.eye(40)[:, 4:8]
    one = write_factors(tmp_path / "one", {NAME: Factors(first, left)})
    two = write_factors(tmp_path / "two", {NAME: Factors(second, right)})
    found = compare(one, two)
    assert (found.cosine, found.row_overlap, found.column_overlap, found.unit_overlap) == (0, 0, 0, 0)
    assert found.row_angle == pytest.approx(90.0)
    assert found.leak == (0.0, 0.0)


def test_no_common_module_and_no_effect(tmp_path: Path) -> None:
    one = write_random(tmp_path / "one", 1, modules=MODULES[:2])
    two = write_random(tmp_path / "two", 2, modules=MODULES[2:])
    found = compare(one, two)
    assert (found.shared, found.only, found.row_overlap, found.sign_agreement) == (0, (2, 2), None, None)
    assert found.norms[0] > 0
    idle = write_factors(tmp_path / "idle", {NAME: Factors(torch.ones(2, 24), torch.zeros(40, 2))})
    found = compare(one, idle)
    assert (found.shared, found.norms[1], found.cosine, found.leak) == (1, 0.0, 0.0, (0.0, 0.0))
    assert found.unit_overlap is None


def test_ranks_beyond_the_width_and_cancelling_ranks(tmp_path: Path) -> None:
    wide = write_factors(tmp_path / "wide", {NAME: random_factors(1, 30)})  # 24 inputs
    a, b = random_factors(2, 3)
    doubled = Factors(torch.cat([a, a, torch.ones(1, 24)]), torch.cat([b, -b / 2, torch.zeros(40, 1)], dim=1))
    plain = Factors(a, b / 2)
    other = write_factors(tmp_path / "other", {NAME: doubled})
    alike(compare(wide, other), compare(wide, write_factors(tmp_path / "plain", {NAME: plain})), 1e-3)


@pytest.mark.parametrize("size", [1e-20, 1e18])
def test_tiny_and_huge_updates(size: float, tmp_path: Path) -> None:
    one, two = write_random(tmp_path / "one", 1), write_random(tmp_path / "two", 2)
    scaled = {name: Factors(one.read(name).A * size, one.read(name).B * size) for name in MODULES}
    found, expected = compare(write_factors(tmp_path / "scaled", scaled), two), compare(one, two)
    assert found.cosine == pytest.approx(expected.cosine, abs=1e-5)
    assert found.norms[0] == pytest.approx(expected.norms[0] * size**2, rel=1e-4)
    assert found.unit_overlap == pytest.approx(expected.unit_overlap, rel=1e-3)


def test_shapes_that_clash_are_counted_and_left_out(tmp_path: Path) -> None:
    one = write_factors(tmp_path / "one", {NAME: random_factors(1, 4), MODULES[1]: random_factors(2, 4)})
    two = write_factors(tmp_path / "two", {NAME: random_factors(3, 4, d_in=32), MODULES[1]: random_factors(4, 4)})
    found = compare(one, two)
    assert (found.clashing, found.shared) == (1, 1)


def test_stored_scale_counts(tmp_path: Path) -> None:
    one, two = write_random(tmp_path / "one", 1), write_random(tmp_path / "two", 2)
    config = json.loads((tmp_path / "one" / "adapter_config.json").read_text())
    config["lora_alpha"] *= 3
    (tmp_path / "one" / "adapter_config.json").write_text(json.dumps(config))
    louder = open_directory(tmp_path / "one")
    assert compare(louder, two).norms[0] == pytest.approx(3 * compare(one, two).norms[0], rel=1e-4)


def test_values_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    one = write_random(tmp_path / "one", 1)
    write_random(tmp_path / "two", 2).close()
    path = tmp_path / "two" / "adapter_model.safetensors"
    tensors = load_file(path)
    tensors[sorted(tensors)[0]][0, 0] = float("nan")
    save_file(tensors, path)
    with pytest.raises(BadInput, match=r"two: model\.layers\.0.* not finite"):
        compare(one, open_directory(tmp_path / "two"))
