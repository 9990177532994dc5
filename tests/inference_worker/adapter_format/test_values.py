"""Values read in blocks of any size give what the whole tensors give; memory does not follow the file's size."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.hostile_files import safetensors_table, write_pair
from reference.random_factors import MODULES, write_factors, write_random
from reference.tiny_adapters import edit_tensors

from inference_worker.adapter_format import Factors, inspect_adapter, open_directory
from inference_worker.adapter_format.assembly import build_layout
from inference_worker.adapter_format.config import read_config
from inference_worker.adapter_format.header import read_header
from inference_worker.adapter_format.signature import PROBES, Signs
from inference_worker.adapter_format.statistics import TallCore, measure, measure_cores
from inference_worker.adapter_format.values import ValueReader
from inference_worker.contracts.check_limits import Limits

PREFIX = "base_model.model."
MB = 1 << 20


def read(directory: Path, elements: int, limits: Limits | None = None) -> ValueReader:
    reader = ValueReader(directory / "adapter_model.safetensors", limits or Limits(), elements)
    config = read_config(directory / "adapter_config.json")[0]
    assert config is not None
    header = read_header(directory / "adapter_model.safetensors")
    reader.read(header, build_layout(config, header))
    return reader


@pytest.mark.parametrize("elements", [1, 7, 64, 100, 10_000])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_blocks_change_nothing(elements: int, dtype: torch.dtype, tmp_path: Path) -> None:
    with write_random(tmp_path, 3, rank=6):
        edit_tensors(tmp_path, lambda tensors: {name: tensor.to(dtype) for name, tensor in tensors.items()})
    with open_directory(tmp_path) as adapter:
        factors = {name: adapter.read(name) for name in adapter.modules}
    found = read(tmp_path, elements)
    assert [module.name for module in found.modules] == list(MODULES)
    for module in found.modules:
        a, b = (factor.double() for factor in factors[module.name])
        sigma = torch.linalg.svdvals(b @ a)[:6]
        share = sigma / sigma.sum()
        assert module.norm == pytest.approx(float(sigma.norm()), rel=1e-5)
        assert module.effective_rank == pytest.approx(float((-(share * share.log()).sum()).exp()), rel=1e-4)
    whole = np.array(read(tmp_path, 1 << 20).signature)
    assert np.linalg.norm(whole) == pytest.approx(1.0)
    np.testing.assert_allclose(found.signature, whole, atol=1e-5)


@pytest.mark.parametrize("columns", [1, 5, 8, 40, 41])
def test_signs_of_some_columns_are_those_of_all(columns: int) -> None:
    signs = Signs("m", "left", PROBES, columns)
    whole = signs.columns(0, columns)
    assert set(whole.unique().tolist()) <= {-1.0, 1.0}
    for start in range(columns):
        for stop in range(start + 1, columns + 1):
            assert torch.equal(signs.columns(start, stop), whole[:, start:stop])


@settings(max_examples=60, deadline=None)
@given(sizes=st.lists(st.integers(-140, 120), min_size=1, max_size=5), seed=st.integers(0, 99))
def test_blocks_of_any_magnitude(sizes: list[int], seed: int) -> None:
    """Blocks from denormal to nearly the largest float32, in any order, against float64."""
    generator = torch.Generator().manual_seed(seed)
    blocks = [torch.ldexp(torch.randn(5, 3, generator=generator), torch.tensor(size)) for size in sizes]
    a = TallCore()
    a.add(torch.eye(4, 3))
    b = TallCore()
    for block in blocks:
        b.add(block.clone())
    sigma = torch.linalg.svdvals(torch.cat(blocks).double())
    assert measure_cores(a, b).norm == pytest.approx(float(sigma.norm()), rel=1e-5)


def test_zeros_before_and_after_do_not_matter() -> None:
    a, b = TallCore(), TallCore()
    for rows in (torch.zeros(4, 2), torch.eye(4, 2) * 1e-20, torch.zeros(3, 2)):
        a.add(rows)
    b.add(torch.eye(2))
    found = measure_cores(a, b)
    assert (found.norm, found.effective_rank) == (pytest.approx(2**0.5 * 1e-20), pytest.approx(2.0))
    assert measure(torch.zeros(2, 4), torch.eye(2)) == (0.0, 0.0)


def test_every_block_is_searched_for_values_that_are_not_finite(tmp_path: Path) -> None:
    write_random(tmp_path, 1).close()
    extra = torch.ones(5, 10)
    extra[0, 0], extra[4, 9] = torch.inf, torch.nan
    edit_tensors(tmp_path, lambda tensors: tensors | {f"{PREFIX}lm_head.weight": extra})
    problems = read(tmp_path, 7).problems
    assert [problem.place for problem in problems] == [f"{PREFIX}lm_head.weight"]
    assert problems[0].message.startswith("2 of 50 values")


def test_a_negative_scale_turns_the_signature_round(tmp_path: Path) -> None:
    pair = Factors(torch.eye(2, 5), torch.eye(3, 2))
    write_factors(tmp_path, {MODULES[0]: pair}).close()
    before = np.array(read(tmp_path, 100).signature)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    (tmp_path / "adapter_config.json").write_text(json.dumps({**config, "lora_alpha": -4}))
    np.testing.assert_allclose(read(tmp_path, 100).signature, -before, atol=1e-7)


def test_layers_wider_than_any_are_refused(tmp_path: Path) -> None:
    write_random(tmp_path, 1).close()
    found = read(tmp_path, 100, replace(Limits(), features=30))
    assert {problem.code for problem in found.problems} == {"bad_shape"}
    assert found.modules == []


WIDE = {"lm_head.lora_A": (64, 4096), "lm_head.lora_B": (500_000, 64), "model.embed_tokens": (16_000, 4096)}
#: As large blocks and triangles as there are.
HIGH_RANK = {"lm_head.lora_A": (1024, 4096), "lm_head.lora_B": (20_000, 1024)}


@pytest.mark.parametrize(("shapes", "rank", "megabytes"), [(WIDE, 64, 180), (HIGH_RANK, 1024, 45)])
def test_memory_does_not_follow_the_size(
    shapes: dict[str, tuple[int, int]], rank: int, megabytes: int, tmp_path: Path
) -> None:
    """The process's peak stays within 90 MB of what it holds with its libraries loaded.

    The libraries' own share (230 MB) is left out: how much of a mapped library is resident is the kernel's choice.
    """
    weights, size = safetensors_table({f"{PREFIX}{name}.weight": shape for name, shape in shapes.items()}, "F16")
    config = {"peft_type": "LORA", "r": rank, "lora_alpha": 64, "target_modules": ["lm_head"]}
    if "model.embed_tokens" in shapes:
        config["modules_to_save"] = ["embed_tokens"]
    write_pair(tmp_path, json.dumps(config).encode(), weights)
    with (tmp_path / "adapter_model.safetensors").open("ab") as file:
        block = np.random.default_rng(0).normal(size=MB // 2).astype("<f2").tobytes()
        for _ in range(size // MB + 1):
            file.write(block)
        file.truncate(size)
    # Not ru_maxrss, which keeps the peak of the process that a child was forked from.
    code = (
        "import sys\n"
        "from inference_worker.adapter_format import inspect_adapter\n"
        "def kilobytes(key):\n"
        "    return next(int(line.split()[1]) for line in open('/proc/self/status') if line.startswith(key))\n"
        "loaded = kilobytes('VmRSS')\n"
        "print(inspect_adapter(*sys.argv[1:]).valid, loaded, kilobytes('VmHWM'))\n"
    )
    paths = [str(tmp_path / name) for name in ("adapter_config.json", "adapter_model.safetensors")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code, *paths], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    valid, loaded, peak = done.stdout.split()
    assert size > megabytes * MB
    assert valid == "True"
    assert int(peak) - int(loaded) < 90 * 1024


def test_saved_weights_have_the_bases_shape(tmp_path: Path) -> None:
    write_random(tmp_path, 1).close()
    paths = tmp_path / "adapter_config.json", tmp_path / "adapter_model.safetensors"
    shapes = {**dict.fromkeys(MODULES, (40, 24)), "lm_head": (50, 24)}

    def codes(*shape: int) -> list[str]:
        edit_tensors(tmp_path, lambda tensors: tensors | {f"{PREFIX}lm_head.weight": torch.ones(*shape)})
        found = inspect_adapter(*paths, shapes).problems
        return [problem.code for problem in found if problem.severity == "error"]

    assert codes(50, 24) == codes(52, 24) == []
    assert codes(50, 23) == codes(50, 24, 1) == codes(50) == ["shape_mismatch"]
