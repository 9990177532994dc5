"""The command for pickled weights does what it says when it is pasted."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from inference_worker.contracts.conversion import conversion_command


@pytest.mark.parametrize("name", ["adapter_model.bin", "my adapter'; touch stolen; '.bin"])
def test_the_pasted_command_converts(name: str, tmp_path: Path) -> None:
    weights = {
        "base_model.model.q.lora_A.weight": torch.randn(4, 6).T,
        "base_model.model.q.lora_B.weight": torch.ones(3),
    }
    torch.save(weights, tmp_path / name)
    command = conversion_command(name).replace("python", shlex.quote(sys.executable), 1)
    subprocess.run(["sh", "-c", command], cwd=tmp_path, check=True, timeout=120)
    converted = load_file(tmp_path / "adapter_model.safetensors")
    assert {key: value.tolist() for key, value in converted.items()} == {k: v.tolist() for k, v in weights.items()}
    assert not (tmp_path / "stolen").exists()
