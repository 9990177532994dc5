"""No NaN and no infinity is written: what is not finite in a parent is refused by name, and so is what overflows."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from reference.random_factors import MODULES, random_factors, write_factors
from reference.tiny_adapters import edit_tensors, make_adapter

from inference_worker.adapter_format import Factors, open_directory
from inference_worker.adapter_format.reader import AdapterReader
from inference_worker.contracts.merge import MergedModule
from inference_worker.errors import BadInput, Refused
from inference_worker.merging import merge_adapters
from inference_worker.merging.report import report_json

NAME = MODULES[0]


def single(directory: Path, a: float, b: float) -> AdapterReader:
    """One module of rank 4 whose entries have these sizes."""
    drawn = random_factors(0, 4)
    return write_factors(directory, {NAME: Factors(drawn.A.sign() * a, drawn.B.sign() * b)})


@pytest.mark.parametrize(
    ("size", "weight", "dtype", "words"),
    [
        (3e38, 10.0, "same", "beyond float32's range; the merged values themselves overflow; use smaller weights"),
        (3.4028e38, 1.0, "bfloat16", "beyond bfloat16's range; write float32 instead, or use smaller weights"),
        (1e6, 1.0, "float16", "beyond float16's range; write bfloat16 or float32 instead"),
    ],
)
def test_what_overflows(size: float, weight: float, dtype: str, words: str, tmp_path: Path) -> None:
    reader = single(tmp_path / "large", size, size if weight == 1.0 else 1.0)
    with pytest.raises(Refused, match=f"{NAME}: values {words}") as refusal:
        merge_adapters([reader], [weight], "cat", tmp_path / "out", dtype=dtype)
    assert (refusal.value.code, refusal.value.extra) == ("dtype_overflow", {"module": NAME})


def test_a_report_of_nan_is_no_json() -> None:
    with pytest.raises(BadInput, match="b: what was lost cannot be measured"):
        report_json("svd", ["x"], [MergedModule(name="a", rank=1), MergedModule(name="b", rank=1, error=float("nan"))])


@pytest.mark.parametrize(
    ("flags", "ending"),
    [
        ({"lora_bias": True, "targets": ["q_proj"]}, "q_proj.lora_B.bias"),
        ({"use_dora": True, "targets": ["q_proj"]}, "q_proj.lora_magnitude_vector"),
        ({"modules_to_save": ["input_layernorm"]}, "input_layernorm.weight"),
        ({"trainable_token_indices": [1, 5]}, "trainable_tokens_delta"),
        ({"bias": "all"}, "bias"),
    ],
)
@pytest.mark.parametrize("value", [torch.nan, -torch.inf])
def test_every_tensor_of_a_parent(flags: dict[str, object], ending: str, value: float, tmp_path: Path) -> None:
    parent = make_adapter(tmp_path / "bad", 1, **flags)
    found = []

    def poison(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        found.append(next(name for name in sorted(tensors) if name.endswith(ending)))
        tensors[found[0]].view(-1)[-1] = value
        return tensors

    edit_tensors(parent, poison)
    with open_directory(parent) as reader, pytest.raises(BadInput) as refusal:
        merge_adapters([reader], [1.0], "cat", tmp_path / "out")
    name = found[0].removeprefix("base_model.model.")
    assert refusal.value.code == "nonfinite_values"
    assert refusal.value.message.startswith("bad: ")
    assert name in refusal.value.message


def test_float64_beyond_float32(tmp_path: Path) -> None:
    single(tmp_path / "bad", 1.0, 1.0).close()
    edit_tensors(tmp_path / "bad", lambda tensors: {name: value.double() * 1e300 for name, value in tensors.items()})
    with open_directory(tmp_path / "bad") as reader, pytest.raises(BadInput, match=f"bad: {NAME} holds values"):
        merge_adapters([reader], [1e-9], "cat", tmp_path / "out")


@pytest.mark.parametrize("method", ["svd", "knots", "iso_c", "karcher", "ties"])
def test_what_overflows_on_the_way(method: str, tmp_path: Path) -> None:
    good, huge = {name: random_factors(index, 4) for index, name in enumerate(MODULES)}, MODULES[2]
    bad = {**good, huge: Factors(good[huge].A.sign() * 3e38, good[huge].B)}
    readers = [write_factors(tmp_path / name, factors) for name, factors in (("good", good), ("bad", bad))]
    with pytest.raises(
        BadInput, match=rf"{huge}: .* \({method}\) cannot take its update apart.*smaller weights"
    ) as fault:
        merge_adapters(readers, [1.0, 1.0], method, tmp_path / "out")
    assert (fault.value.code, fault.value.extra) == ("overflow", {"module": huge, "method": method})
    assert not (tmp_path / "out").exists()
