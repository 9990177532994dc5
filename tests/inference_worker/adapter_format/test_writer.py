"""Written adapters are read back by safetensors and PEFT, whole or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from peft import LoraConfig
from reference.random_factors import MODULES, random_factors, write_factors
from reference.tiny_adapters import edit_tensors, load_peft, module_shapes, peft_delta
from safetensors.torch import load_file

from inference_worker.adapter_format import AdapterWriter, Factors, ModulePlan, open_directory, write_adapter
from inference_worker.adapter_format.header import read_header
from inference_worker.adapter_format.new_file import NewFile
from inference_worker.adapter_format.writer import canonical_config, check_patterns
from inference_worker.errors import Refused


def tiny_factors(ranks: tuple[int, ...] = (4,)) -> dict[str, Factors]:
    return {
        name: random_factors(index, ranks[index % len(ranks)], d_in, d_out)
        for index, (name, (d_out, d_in)) in enumerate(module_shapes().items())
    }


def test_safetensors_reads_the_same_numbers(tmp_path: Path) -> None:
    factors = {name: random_factors(index, 3) for index, name in enumerate(MODULES)}
    write_factors(tmp_path, factors).close()
    tensors = load_file(tmp_path / "adapter_model.safetensors")
    assert len(tensors) == 2 * len(MODULES)
    for name, pair in factors.items():
        assert torch.equal(tensors[f"base_model.model.{name}.lora_A.weight"], pair.A)
        assert torch.equal(tensors[f"base_model.model.{name}.lora_B.weight"], pair.B)


@pytest.mark.parametrize("ranks", [(4,), (2, 5, 3), (1, 7)])
def test_peft_loads_the_same_update(ranks: tuple[int, ...], tmp_path: Path) -> None:
    factors = tiny_factors(ranks)
    config = write_adapter(tmp_path, factors)
    loaded = peft_delta(load_peft(tmp_path), "default")
    assert loaded.keys() == factors.keys()
    for name, pair in factors.items():
        torch.testing.assert_close(loaded[name], pair.B @ pair.A)
    LoraConfig.from_pretrained(str(tmp_path))
    check_patterns(config, {name: pair.A.shape[0] for name, pair in factors.items()})


def test_a_name_that_ends_another_gets_an_exact_pattern() -> None:
    ranks = {"proj": 3, "inner.proj": 5, "other.x": 5}
    config = canonical_config(ranks, {})
    assert config["rank_pattern"] == {"^proj": 3}
    check_patterns(config, ranks)
    with pytest.raises(ValueError, match=r"inner\.proj would be reloaded with another rank"):
        check_patterns({**config, "rank_pattern": {"proj": 3}}, ranks)


def test_ranks_may_turn_out_smaller_than_planned(tmp_path: Path) -> None:
    plans = [ModulePlan("a.x", 500, 24, 40), ModulePlan("b.x", 500, 24, 40)]
    with AdapterWriter(tmp_path, plans, torch.bfloat16) as writer:
        writer.add("b.x", random_factors(1, 2))
        writer.add("a.x", random_factors(2, 3))
        writer.finish({"target_modules": ["x"]})
    header = read_header(tmp_path / "adapter_model.safetensors")
    assert header.size == (tmp_path / "adapter_model.safetensors").stat().st_size
    with open_directory(tmp_path) as reader:
        assert {name: info.rank for name, info in reader.modules.items()} == {"a.x": 3, "b.x": 2}


def test_wrong_shapes_and_missing_modules_are_bugs(tmp_path: Path) -> None:
    with AdapterWriter(tmp_path, [ModulePlan("a", 2, 24, 40)], torch.float32) as writer:
        with pytest.raises(ValueError, match="do not fit"):
            writer.add("a", random_factors(1, 3))
        with pytest.raises(ValueError, match=r"never written: \['a'\]"):
            writer.finish({})
    assert list(tmp_path.iterdir()) == []


def test_an_unfinished_write_keeps_the_old_adapter(tmp_path: Path) -> None:
    write_factors(tmp_path, {MODULES[0]: random_factors(1, 2)}).close()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(Refused, match="float16"):
        write_adapter(tmp_path, {"a": Factors(torch.full((2, 24), 1e6), torch.ones(40, 2))}, dtype="float16")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_an_unfinished_write_makes_no_folder(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    huge = {"a": Factors(torch.full((2, 24), 1e6), torch.ones(40, 2))}
    for out in (tmp_path / "there", tmp_path / "new" / "deep"):
        with pytest.raises(Refused, match="float16"):
            write_adapter(out, huge, dtype="float16")
    assert [path.name for path in tmp_path.rglob("*")] == ["there"]


@pytest.mark.parametrize("others", [False, True])
def test_folders_that_a_failing_write_made_go_with_it(
    others: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: NewFile, name: str) -> None:
        if others:
            (tmp_path / "new" / "of-others").touch()
        raise OSError("no space left")

    monkeypatch.setattr(NewFile, "publish", fail)
    with pytest.raises(OSError, match="no space left"):
        write_adapter(tmp_path / "new" / "deep", {"a": random_factors(1, 2)})
    assert [path.name for path in tmp_path.rglob("*")] == (["new", "of-others"] if others else [])


def test_a_folder_may_be_made_meanwhile(tmp_path: Path) -> None:
    out = tmp_path / "new" / "deep"
    with AdapterWriter(out, [ModulePlan("a", 2, 24, 40)], torch.float32) as writer:
        writer.add("a", random_factors(1, 2))
        assert list(tmp_path.iterdir()) == []
        out.mkdir(parents=True)
        writer.finish({"target_modules": ["a"]})
    assert sorted(path.name for path in out.iterdir()) == ["adapter_config.json", "adapter_model.safetensors"]


def test_config_is_canonical(tmp_path: Path) -> None:
    write_factors(tmp_path, {name: random_factors(index, 2 + index) for index, name in enumerate(MODULES)}).close()
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert config["r"] == config["lora_alpha"]
    assert config["rank_pattern"] == config["alpha_pattern"]
    assert (config["use_rslora"], config["use_dora"], config["bias"]) == (False, False, "none")
    assert list(config) == sorted(config)


def test_files_are_readable_as_the_umask_allows(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        write_factors(tmp_path, {"a": random_factors(1, 2)}).close()
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o644}


def test_other_tensors_are_copied_byte_for_byte_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inference_worker.adapter_format.stream.PIECE_BYTES", 48)
    head = torch.randn(7, 5).to(torch.bfloat16)
    write_factors(tmp_path / "in", {"a": random_factors(1, 2)}).close()
    edit_tensors(tmp_path / "in", lambda tensors: {**tensors, "base_model.model.lm_head.weight": head})
    with open_directory(tmp_path / "in") as reader:
        entry = reader.extras["lm_head.weight"]
        plan = ModulePlan("a", 2, 24, 40)
        with AdapterWriter(tmp_path / "out", [plan], torch.float32, {"lm_head.weight": entry.shape}) as writer:
            writer.add("a", reader.read("a"))
            writer.copy_extra("lm_head.weight", reader.file, entry)
            writer.finish({"target_modules": ["a"], "modules_to_save": ["lm_head"]})
    copied = load_file(tmp_path / "out" / "adapter_model.safetensors")["base_model.model.lm_head.weight"]
    assert torch.equal(copied, head)
