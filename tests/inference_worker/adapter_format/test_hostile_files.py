"""Hostile and broken files: every one is answered with a problem, a place and a remedy; none raises."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reference.hostile_files import CONFIGS, GOOD, HEADERS, safetensors, write_pair

from inference_worker.adapter_format import inspect_adapter, open_directory
from inference_worker.adapter_format.faults import Unreadable
from inference_worker.adapter_format.header import read_header
from inference_worker.contracts.conversion import conversion_command
from inference_worker.contracts.inspect import InspectResult
from inference_worker.errors import BadInput


def inspect(directory: Path) -> InspectResult:
    return inspect_adapter(directory / "adapter_config.json", directory / "adapter_model.safetensors")


def codes(result: InspectResult) -> set[str]:
    return {problem.code for problem in result.problems if problem.severity == "error"}


@pytest.mark.parametrize("name", sorted(HEADERS))
def test_header(name: str, tmp_path: Path) -> None:
    data, code = HEADERS[name]
    write_pair(tmp_path, weights=data)
    with pytest.raises(Unreadable) as caught:
        read_header(tmp_path / "adapter_model.safetensors")
    assert caught.value.problem.code == code
    result = inspect(tmp_path)
    assert not result.valid
    assert codes(result) == {code}
    assert all(problem.place and problem.message and problem.remedy for problem in result.problems)
    with pytest.raises(BadInput) as refused:
        open_directory(tmp_path)
    assert refused.value.code == code


@pytest.mark.parametrize("name", sorted(CONFIGS))
def test_config(name: str, tmp_path: Path) -> None:
    data, code = CONFIGS[name]
    started = time.process_time()
    result = inspect(write_pair(tmp_path, config=data))
    assert time.process_time() - started < 10
    assert codes(result) == ({code} if code else set())
    assert result.valid == (code == "")


def test_the_conversion_is_explained(tmp_path: Path) -> None:
    result = inspect(write_pair(tmp_path, weights=HEADERS["torch zip"][0]))
    assert conversion_command("adapter_model.bin") in result.problems[0].remedy


def test_all_problems_of_both_files_are_listed(tmp_path: Path) -> None:
    config = json.dumps({"peft_type": "IA3", "r": 0, "lora_alpha": "x"}).encode()
    result = inspect(write_pair(tmp_path, config=config, weights=HEADERS["overlap"][0]))
    assert codes(result) == {"peft_type_refused", "bad_rank", "bad_alpha", "bad_offsets"}


def test_missing_files(tmp_path: Path) -> None:
    assert codes(inspect(tmp_path)) == {"missing_file"}
    (tmp_path / "adapter_model.bin").write_bytes(b"x")
    with pytest.raises(BadInput, match=r"python -c .* adapter_model\.bin`") as caught:
        open_directory(tmp_path)
    assert len(caught.value.extra["problems"]) == 2


def test_a_crashing_check_means_not_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("inference_worker.adapter_format.inspect.build_layout", crash)
    result = inspect(write_pair(tmp_path))
    assert codes(result) == {"check_crashed"}


def test_a_file_that_shrinks_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pair(tmp_path)
    reader = open_directory(tmp_path)
    (tmp_path / "adapter_model.safetensors").write_bytes(b"")
    with pytest.raises(BadInput, match=r"adapter_model\.safetensors ended in the middle of a\.lora_A\.weight"):
        reader.read("a")


@pytest.mark.parametrize("length", [0x0280, 0x0380, 0x0480, 0x0580])
def test_a_header_length_is_not_taken_for_a_pickle(length: int, tmp_path: Path) -> None:
    """The first byte of such files is 0x80, as in pickles."""
    header = json.dumps(GOOD).encode().ljust(length)
    data = safetensors({}, bytes(56), raw_header=header)
    assert data[:1] == b"\x80"
    assert len(read_header(write_pair(tmp_path, weights=data) / "adapter_model.safetensors").tensors) == 2


def test_good_file_is_read(tmp_path: Path) -> None:
    header = read_header(write_pair(tmp_path) / "adapter_model.safetensors")
    assert {name: entry.shape for name, entry in header.tensors.items()} == {
        "a.lora_A.weight": (2, 3),
        "a.lora_B.weight": (4, 2),
    }
    assert header.tensors["a.lora_B.weight"].end == header.size


quiet = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@quiet
@given(data=st.binary(max_size=400))
def test_noise_never_raises(data: bytes, tmp_path: Path) -> None:
    assert not inspect(write_pair(tmp_path, config=data, weights=data)).valid
    assert not inspect(write_pair(tmp_path, weights=data)).valid


@quiet
@given(position=st.integers(0, 10_000), value=st.integers(0, 255))
def test_one_changed_byte_never_raises(position: int, value: int, tmp_path: Path) -> None:
    data = bytearray(safetensors(GOOD, bytes(range(56))))
    data[position % len(data)] = value
    inspect(write_pair(tmp_path, weights=bytes(data)))


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=6,
)
_keys = st.sampled_from(
    [
        "r",
        "lora_alpha",
        "rank_pattern",
        "alpha_pattern",
        "target_modules",
        "modules_to_save",
        "use_dora",
        "use_rslora",
        "bias",
        "peft_version",
        "auto_mapping",
        "init_lora_weights",
        "base_model_name_or_path",
        "task_type",
        "layers_to_transform",
        "lora_bias",
        "extra",
    ]
)


@quiet
@given(changes=st.dictionaries(_keys, _json, max_size=4))
def test_any_value_in_the_config_never_raises(changes: dict[str, object], tmp_path: Path) -> None:
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 2, "target_modules": ["a"], **changes}
    result = inspect(write_pair(tmp_path, config=json.dumps(config).encode()))
    assert "check_crashed" not in codes(result)
    result.model_dump_json()
