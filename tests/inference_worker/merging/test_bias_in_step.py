"""Biases of updates (lora_bias) are scaled as the update is, by every method that takes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from reference.method_table import NEUTRAL
from reference.random_factors import deltas
from reference.tiny_adapters import make_adapter

from inference_worker.adapter_format import open_directory
from inference_worker.errors import Refused
from inference_worker.merging import METHODS, merge_adapters

NAME = "model.layers.0.self_attn.q_proj"
CASES = [
    *((name, options) for name, options in NEUTRAL.items()),
    *(
        (name, NEUTRAL[name] | {"scaling": 0.5})
        for name in NEUTRAL
        if "scaling" in METHODS[name].info.options.model_fields
    ),
    *((name, NEUTRAL[name] | {"average": "weight"}) for name in ("ties", "dare_ties", "della")),
    ("lego", {"adapter_weights": "sample"}),
    ("knots", {"density": 1.0, "merge": "sum"}),
]


def test_one_adapter_at_any_weight(tmp_path: Path) -> None:
    parent = make_adapter(tmp_path / "parent", 1, targets=["q_proj"], lora_bias=True)
    refused, codes = [], set()
    with open_directory(parent) as reader:
        update, bias = deltas(reader)[NAME], reader.read_bias(NAME)
        assert bias is not None
        assert bool(bias.any())
        for number, (method, options) in enumerate(CASES):
            for weight in (0.5, -1.0):
                out = tmp_path / f"{number}{weight}"
                try:
                    merge_adapters([reader], [weight], method, out, options=options)
                except Refused as refusal:
                    refused.append((method, weight, tuple(options)))
                    codes.add(refusal.code)
                    continue
                with open_directory(out) as merged:
                    own = merged.read_bias(NAME)
                    assert own is not None
                    torch.testing.assert_close(own, weight * bias)
                    torch.testing.assert_close(deltas(merged)[NAME], weight * update, rtol=0, atol=1e-5)
    scaled = {
        (method, weight, tuple(options)) for method, options in CASES for weight in (0.5, -1.0) if "scaling" in options
    }
    assert codes == {"refused_lora_bias"}
    assert set(refused) >= scaled | {("karcher", 0.5, ())}


@pytest.mark.parametrize(
    ("method", "options"),
    [("task_arithmetic", {"scaling": -1.0}), ("dare_linear", {"scaling": 3.0}), ("iso_c", {})],
)
def test_magnitudes_of_a_changed_update(method: str, options: dict[str, Any], tmp_path: Path) -> None:
    parent = make_adapter(tmp_path / "dora", 1, use_dora=True, targets=["q_proj"])
    with open_directory(parent) as reader, pytest.raises(Refused, match=r"dora.*\(DoRA\)") as refusal:
        merge_adapters([reader], [1.0], method, tmp_path / "out", options=options)
    assert refusal.value.code == "refused_dora"
