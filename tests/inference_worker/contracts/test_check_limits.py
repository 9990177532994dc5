"""The limits of checks come from the environment, and each one is kept."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import pytest
from reference.hostile_files import GOOD, safetensors, write_pair

from inference_worker.adapter_format.config import read_config
from inference_worker.adapter_format.faults import Unreadable
from inference_worker.adapter_format.header import read_header
from inference_worker.adapter_format.inspect import inspect_adapter
from inference_worker.contracts.check_limits import Limits

CONFIG = {"peft_type": "LORA", "r": 2, "lora_alpha": 2, "target_modules": ["a"], "loftq_config": {"a": {"b": 1}}}


def test_every_limit_is_a_variable() -> None:
    given = {f"CHECK_MAX_{field.name.upper()}": str(3 + index) for index, field in enumerate(fields(Limits))}
    limits = Limits.from_environment(given)
    assert [getattr(limits, field.name) for field in fields(Limits)] == [3 + i for i in range(len(fields(Limits)))]
    assert Limits.from_environment({"CHECK_MAX_RANK": ""}) == Limits()


@pytest.mark.parametrize("text", ["many", "-3", "0", "1e400"])
def test_a_wrong_limit_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="CHECK_MAX_RANK"):
        Limits.from_environment({"CHECK_MAX_RANK": text})


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (Limits(header_bytes=20), "header_too_large"),
        (Limits(metadata_bytes=5), "bad_metadata"),
        (Limits(tensors=1), "too_many_tensors"),
        (Limits(dimensions=1), "bad_tensor_entry"),
        (Limits(name_length=10), "bad_tensor_name"),
        (Limits(config_bytes=20), "config_too_large"),
        (Limits(config_depth=2), "config_too_deep"),
        (Limits(rank=1), "bad_rank"),
    ],
)
def test_every_limit_is_kept(limits: Limits, code: str, tmp_path: Path) -> None:
    weights = safetensors({"__metadata__": {"format": "pt"}, **GOOD}, bytes(56))
    write_pair(tmp_path, json.dumps(CONFIG).encode(), weights)
    config, file = tmp_path / "adapter_config.json", tmp_path / "adapter_model.safetensors"
    assert inspect_adapter(config, file).valid
    assert code in {problem.code for problem in inspect_adapter(config, file, limits=limits).problems}


def test_a_header_within_the_limits_is_read_whatever_the_defaults(tmp_path: Path) -> None:
    long = "a." * 200 + "lora_A.weight"
    write_pair(tmp_path, weights=safetensors({long: {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, bytes(8)))
    with pytest.raises(Unreadable):
        read_header(tmp_path / "adapter_model.safetensors")
    assert long in read_header(tmp_path / "adapter_model.safetensors", Limits(name_length=500)).tensors
    assert read_config(tmp_path / "adapter_config.json")[0] is not None
