"""Loading bases, reading their shapes without weights, settings."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_bases import ARCHITECTURES, load, save_base
from transformers import AutoModelForCausalLM, BertConfig, BertModel, MambaConfig

from inference_worker.contracts.common import BaseFiles
from inference_worker.errors import BadInput, Refused
from inference_worker.serving.base_loader import context_length, load_base
from inference_worker.serving.base_shapes import fingerprint, read_base_shapes
from inference_worker.serving.settings import EngineSettings


@pytest.mark.parametrize("architecture", list(ARCHITECTURES))
def test_shapes_read_without_weights_are_those_of_the_loaded_base(architecture: str, tmp_path: Path) -> None:
    files = save_base(tmp_path, architecture)
    base = load(files)
    weights = tmp_path / "model.safetensors"
    parameters = sum(parameter.numel() for parameter in {*base.model.parameters()})
    weights.unlink()
    result = read_base_shapes(files)
    layers = {name: (layer.d_out, layer.d_in) for name, layer in base.layers.items()}
    embeddings = {name for name, module in base.model.named_modules() if isinstance(module, torch.nn.Embedding)}
    assert {name: shape for name, shape in result.shapes.items() if name not in embeddings} == layers
    assert result.parameters == parameters
    assert result.config["model_type"] == base.model.config.model_type
    assert len(result.tokenizer_hash) == len(result.fingerprint) == 64


def test_fingerprints_follow_the_shapes_alone() -> None:
    shapes = {"a": (2, 3), "b": (4, 5)}
    assert fingerprint(shapes) == fingerprint({"b": (4, 5), "a": (2, 3)})
    assert len({fingerprint(shapes), fingerprint({"a": (3, 2), "b": (4, 5)}), fingerprint({"a": (2, 3)})}) == 3


def test_tokenizer_and_template_are_told(tmp_path: Path) -> None:
    files = save_base(tmp_path)
    before = read_base_shapes(files)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    config["chat_template"] = "{{ messages[0].content }}"
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    after = read_base_shapes(files)
    assert (before.chat_template, after.chat_template) == ("", "{{ messages[0].content }}")
    assert after.tokenizer_hash == before.tokenizer_hash
    tokenizer = json.loads((tmp_path / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary["b"], vocabulary["c"] = vocabulary["c"], vocabulary["b"]
    (tmp_path / "tokenizer.json").write_text(json.dumps(tokenizer))
    assert read_base_shapes(files).tokenizer_hash != before.tokenizer_hash
    for path in tmp_path.glob("tokenizer*"):
        path.unlink()
    assert read_base_shapes(files).tokenizer_hash == ""


def write_config(directory: Path, **config: Any) -> BaseFiles:
    (directory / "config.json").write_text(json.dumps(config))
    return BaseFiles(name="other", source=str(directory))


def test_what_is_no_base_is_bad_input(tmp_path: Path) -> None:
    for files in (
        BaseFiles(name="empty", source=str(tmp_path)),
        BaseFiles(name="gone", source="/nonexistent/base"),
        write_config(tmp_path, model_type="unheard_of"),
    ):
        with pytest.raises(BadInput) as caught:
            read_base_shapes(files)
        assert caught.value.code == "base_unavailable"
    BertModel(
        BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, vocab_size=9)
    ).save_pretrained(tmp_path)
    with pytest.raises(BadInput):
        load(BaseFiles(name="bert without tokenizer", source=str(tmp_path)))


def test_pickled_weights_are_not_loaded(tmp_path: Path) -> None:
    files = save_base(tmp_path)
    state = AutoModelForCausalLM.from_pretrained(files.source).state_dict()
    (tmp_path / "model.safetensors").unlink()
    torch.save(state, tmp_path / "pytorch_model.bin")
    with pytest.raises(BadInput, match="safetensors"):
        load(files)


def test_code_of_a_repository_is_not_run(tmp_path: Path) -> None:
    files = write_config(tmp_path, model_type="mine", auto_map={"AutoConfig": "evil.Config"})
    (tmp_path / "evil.py").write_text("raise SystemExit('code of a repository was run')\n")
    with pytest.raises(BadInput):
        read_base_shapes(files)


def test_other_kinds_of_state_are_refused(tmp_path: Path) -> None:
    MambaConfig(hidden_size=8, num_hidden_layers=1, vocab_size=9).save_pretrained(tmp_path)
    with pytest.raises(Refused, match="cannot be served"):
        load(BaseFiles(name="mamba", source=str(tmp_path)))
    config, _ = ARCHITECTURES["llama"]
    quantised = config.to_dict() | {"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}}
    with pytest.raises(Refused, match="quantised"):
        load(write_config(tmp_path, **quantised))


def test_dtype_and_device_follow_the_settings(tmp_path: Path) -> None:
    files = save_base(tmp_path)
    assert load_base(files, EngineSettings(device="cpu")).dtype == torch.float32
    assert load_base(files, EngineSettings(device="cpu", dtype="bfloat16")).dtype == torch.bfloat16
    cuda = torch.device("cuda")
    assert EngineSettings().resolve_dtype(cuda, torch.bfloat16) == torch.bfloat16
    assert EngineSettings(dtype="float16").resolve_dtype(cuda, torch.bfloat16) == torch.float16


def test_scalings_that_depend_on_the_longest_row_bound_the_context() -> None:
    config = copy.deepcopy(ARCHITECTURES["phi3"][0])
    assert context_length(config) == 128
    factors = {"short_factor": [1.0] * 4, "long_factor": [2.0] * 4}
    config.rope_parameters = {
        "rope_type": "longrope",
        "rope_theta": 1e4,
        "original_max_position_embeddings": 48,
        **factors,
    }
    assert context_length(config) == 48
    assert context_length(ARCHITECTURES["gemma3"][0]) == context_length(ARCHITECTURES["gpt2"][0]) == 128


def test_settings_come_from_the_environment() -> None:
    settings = EngineSettings.from_environment(
        {"ENGINE_DEVICE": "cpu", "ENGINE_MAX_ROWS": "5", "ENGINE_DTYPE": "", "OTHER": "x"}
    )
    assert (settings.device, settings.max_rows, settings.dtype) == ("cpu", 5, "auto")
    with pytest.raises(BadInput, match="ENGINE_MAX_ROWS"):
        EngineSettings.from_environment({"ENGINE_MAX_ROWS": "none"})


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is present")
def test_cuda_without_a_device_is_told() -> None:
    with pytest.raises(BadInput, match="ENGINE_DEVICE"):
        EngineSettings(device="cuda").resolve_device()
    assert EngineSettings().resolve_device() == torch.device("cpu")
