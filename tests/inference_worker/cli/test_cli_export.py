"""``export``: the three formats from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import gguf
import pytest
import torch
from reference.tiny_adapters import edit_tensors, load_peft, logits, make_adapter, tiny_llama
from transformers import AutoModelForCausalLM

from inference_worker.__main__ import main


@pytest.fixture
def base(tmp_path: Path) -> Path:
    tiny_llama().save_pretrained(tmp_path / "base")
    return tmp_path / "base"


def test_merged(base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    adapter = make_adapter(tmp_path / "adapter", 1)
    options = ["--format", "merged", "--base", str(base), "--shard-size", "1MB", "--json"]
    capsys.readouterr()
    assert main(["export", *options, "--out", str(tmp_path / "out"), str(adapter)]) == 0
    done = json.loads(capsys.readouterr().out)
    assert {"config.json", "model.safetensors", "README.md"} <= set(done["files"])
    found = logits(AutoModelForCausalLM.from_pretrained(tmp_path / "out").eval())
    torch.testing.assert_close(found, logits(load_peft(adapter)), atol=2e-5, rtol=1e-4)


def test_gguf(base: Path, tmp_path: Path) -> None:
    adapter = make_adapter(tmp_path / "adapter", 1)
    out = tmp_path / "out"
    assert main(["export", "--format", "gguf", "--base", str(base), "--out", str(out), str(adapter)]) == 0
    assert len(gguf.GGUFReader(out / "adapter-lora.gguf").tensors) == 8


def test_peft_writes_the_names_that_peft_reads(tmp_path: Path) -> None:
    adapter = make_adapter(tmp_path / "adapter", 1, use_dora=True)
    expected = logits(load_peft(adapter))
    edit_tensors(adapter, lambda tensors: {f"base_model.model.{name}": value for name, value in tensors.items()})
    assert main(["export", "--format", "peft", "--out", str(tmp_path / "out"), str(adapter)]) == 0
    torch.testing.assert_close(logits(load_peft(tmp_path / "out")), expected, atol=1e-5, rtol=1e-4)


def test_faults_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    adapter = make_adapter(tmp_path / "adapter", 1)
    out = ["--out", str(tmp_path / "out"), str(adapter)]
    assert main(["export", "--format", "merged", *out]) == 3
    assert "names no base" in capsys.readouterr().err
    assert main(["export", "--format", "gguf", "--base", str(tmp_path / "none"), *out]) == 3
    assert "has no directory" in capsys.readouterr().err
    for wrong in ("five", "0", "-1GB"):
        with pytest.raises(SystemExit):
            main(["export", "--format", "merged", "--shard-size", wrong, *out])
