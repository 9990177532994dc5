"""Which modules a config means: as PEFT itself decides, and as its early versions did for ranks and alphas."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from peft import LoraConfig
from peft.tuners.tuners_utils import check_target_module_exists
from reference.hostile_files import entry, safetensors, write_pair
from reference.tiny_adapters import make_adapter, module_shapes

from inference_worker.adapter_format import inspect_adapter
from inference_worker.adapter_format.config import AdapterConfig
from inference_worker.adapter_format.patterns import PatternFault, PatternMatcher
from inference_worker.adapter_format.replication import base_name
from inference_worker.adapter_format.targeting import Paths, Targets

_NAMES = st.sampled_from(["q_proj", "up_proj", "model", "layers", "h", "experts", "0", "1", "12", "self_attn", "norm"])
_MODULES = st.lists(_NAMES, min_size=1, max_size=6).map(".".join)
_LISTS = st.lists(
    st.sampled_from(["q_proj", "up_proj", "self_attn.q_proj", "1.q_proj", "norm"]), min_size=1, max_size=3
)
_EXPRESSIONS = st.sampled_from([r".*q_proj", r"model\.layers\.(0|1)\..*_proj", "q_proj", r".*\.\d+\.up_proj"])
_OPTIONS = st.fixed_dictionaries(
    {"target_modules": _LISTS | _EXPRESSIONS},
    optional={
        "exclude_modules": _LISTS | _EXPRESSIONS,
        "modules_to_save": st.sampled_from([["norm"], ["q_proj"], []]),
        "layers_to_transform": st.sampled_from([0, 1, [0, 12], []]),
        "layers_pattern": st.sampled_from(["layers", ["h", "layers"], [], ""]),
    },
)


def config_of(options: Mapping[str, Any]) -> AdapterConfig:
    def modules(value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    return AdapterConfig(
        raw=options,
        rank=8,
        alpha=8,
        target_modules=modules(options["target_modules"]),
        exclude_modules=modules(options.get("exclude_modules")),
        modules_to_save=tuple(options.get("modules_to_save", ())),
    )


@given(options=_OPTIONS, module=_MODULES)
def test_targets_are_peft_s(options: dict[str, Any], module: str) -> None:
    try:
        peft = LoraConfig(**options)
    except ValueError:
        return  # Layers and an expression for targets are not combined.
    # PEFT answers with objects that count as true where a module is left out.
    answer = check_target_module_exists(peft, module)
    expected = bool(answer) and type(answer).__name__ != "_ExcludedModule"
    assert Targets(config_of(options), PatternMatcher()).include(module) == expected


@given(
    ranks=st.dictionaries(_MODULES | _EXPRESSIONS, st.integers(1, 9), max_size=2),
    alphas=st.dictionaries(_MODULES | _EXPRESSIONS, st.integers(10, 19), max_size=2),
    module=_MODULES,
)
def test_patterns_of_peft_before_0_15(ranks: dict[str, int], alphas: dict[str, int], module: str) -> None:
    """peft 0.4 to 0.14, lora/model.py: one key, the first of both tables, decides for both."""
    keys = [*ranks, *alphas]
    key = next((key for key in keys if re.match(rf".*\.{key}$", module)), module)
    expected = (ranks.get(key, 1), alphas.get(key, 2))
    assert PatternMatcher().lookup_before_0_15(ranks, alphas, module, (1, 2)) == expected


def test_a_hanging_layers_pattern_is_stopped() -> None:
    options = {"target_modules": ["q_proj"], "layers_to_transform": 1, "layers_pattern": r"(a|a|aa)+(b|c)*x"}
    with pytest.raises(PatternFault, match="too long"):
        Targets(config_of(options), PatternMatcher(budget=0.2)).include("a" * 60 + ".y.1.q_proj")


def test_replicated_layers_are_compared_with_the_base_s_own(tmp_path: Path) -> None:
    make_adapter(tmp_path, 1, layer_replication=[[0, 2], [1, 2], [0, 1]])
    files = (tmp_path / "adapter_config.json", tmp_path / "adapter_model.safetensors")
    result = inspect_adapter(*files, module_shapes())
    assert result.valid
    assert result.summary.layers == 4
    wrong = {**module_shapes(), "model.layers.1.mlp.up_proj": (9, 9)}
    places = [problem.place for problem in inspect_adapter(*files, wrong).problems if problem.code == "shape_mismatch"]
    assert places == ["model.layers.1.mlp.up_proj", "model.layers.2.mlp.up_proj"]


def test_names_of_replicated_layers() -> None:
    order = [[0, 2], [1, 2]]
    names = [base_name(f"model.layers.{index}.q_proj", order) for index in range(3)]
    assert names == ["model.layers.0.q_proj", "model.layers.1.q_proj", "model.layers.1.q_proj"]
    assert base_name("model.layers.3.q_proj", order) == "model.layers.3.q_proj"
    assert base_name("lm_head", order) == "lm_head"


@given(names=st.lists(_MODULES, max_size=5), ending=_MODULES)
def test_paths_are_found_by_their_ends(names: list[str], ending: str) -> None:
    tensors = [f"{name}.weight" for name in names]
    parts = [name.split(".") for name in names]
    paths = {".".join(name[:end]) for name in parts for end in range(1, len(name) + 1)}
    assert Paths(tensors).any_ends_with(ending) == any(path.endswith(ending) for path in paths)


@pytest.mark.parametrize("key", ["target_modules", "exclude_modules", "modules_to_save", "alpha_pattern"])
def test_long_lists_take_no_longer_than_they_are(key: str, tmp_path: Path) -> None:
    """As many names as fit into a config, for as many modules as fit into a header."""
    names = [f"n{number}" for number in range(40_000)]
    table: dict[str, Any] = {}
    for index in range(2000):
        for part, start in (("lora_A", 4 * index), ("lora_B", 4 * index + 2)):
            table[f"layers.{index}.q.{part}.weight"] = entry([1, 1], start, start + 2, "F16")
    config = {"peft_type": "LORA", "r": 1, "lora_alpha": 1, "target_modules": ["q"]}
    config[key] = (
        dict.fromkeys(names, 2) if key == "alpha_pattern" else [*names, *(["q"] if key == "target_modules" else [])]
    )
    write_pair(tmp_path, json.dumps(config).encode(), safetensors(table, bytes(8000)))
    started = time.process_time()
    inspect_adapter(tmp_path / "adapter_config.json", tmp_path / "adapter_model.safetensors")
    assert time.process_time() - started < 10
