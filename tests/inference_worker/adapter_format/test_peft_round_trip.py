"""Whatever PEFT saves is read, written and loaded by PEFT again with the same outputs.

Random configs over tiny models of every kind. ``ROUND_TRIPS=500`` tries more than the sample of ``make test``.
"""

from __future__ import annotations

import os
import tempfile
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from peft import LoraConfig, PeftModel, get_peft_model
from reference.tiny_adapters import edit_tensors
from reference.tiny_models import MODELS, linear_names, outputs
from torch import Tensor

from inference_worker.adapter_format import inspect_adapter, open_directory, rewrite_adapter
from inference_worker.contracts.adapter_uses import why_not_generated
from inference_worker.contracts.inspect import InspectResult
from inference_worker.contracts.merge_limits import NEVER
from inference_worker.errors import Refused
from inference_worker.merging.pipeline import merge_adapters

Case = tuple[str, dict[str, Any], str]

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16, "float64": torch.float64}


def save(directory: Path, model: str, options: dict[str, Any], dtype: str = "float32") -> None:
    """Save a random adapter as PEFT writes it. Raises what PEFT raises for options that it does not combine."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adapted = get_peft_model(MODELS[model].build(), LoraConfig(task_type=MODELS[model].task, **options))
        generator = torch.Generator().manual_seed(7)
        with torch.no_grad():
            for name, parameter in adapted.named_parameters():
                if parameter.requires_grad:
                    spread = 0.05 if "magnitude" in name else MODELS[model].spread
                    parameter.add_(torch.randn(parameter.shape, generator=generator) * spread)
        adapted.save_pretrained(str(directory))
    edit_tensors(directory, lambda tensors: {name: tensor.to(DTYPES[dtype]) for name, tensor in tensors.items()})


def peft_outputs(directory: Path, model: str) -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # PEFT says in a warning which tensors it did not find; here that is a failure.
        warnings.filterwarnings("error", message="Found missing adapter keys")
        return outputs(PeftModel.from_pretrained(MODELS[model].build(), str(directory)).eval())


def inspect(directory: Path) -> InspectResult:
    return inspect_adapter(directory / "adapter_config.json", directory / "adapter_model.safetensors")


def assert_same(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5 * max(1.0, float(expected.abs().max())))


def check_round_trip(folder: Path, model: str) -> InspectResult:
    """Inspect, rewrite and, where an adapter can be merged alone, write canonically; compare what PEFT computes."""
    expected = peft_outputs(folder / "in", model)
    result = inspect(folder / "in")
    assert result.valid, result.problems
    assert [problem for problem in result.problems if problem.severity == "error"] == []
    with open_directory(folder / "in") as reader:
        rewrite_adapter(reader, folder / "again")
        assert torch.equal(peft_outputs(folder / "again", model), expected)
        if not set(reader.features) & set(NEVER) and reader.modules:
            merge_adapters([reader], [1.0], "cat", folder / "canonical", dtype="float32", threads=1)
            assert_same(peft_outputs(folder / "canonical", model), expected)
    return result


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """A model, options of LoraConfig, and the type that the tensors are stored in."""
    name = draw(st.sampled_from(sorted(MODELS)))
    model = MODELS[name]
    options: dict[str, Any] = {
        "r": draw(st.integers(1, 5)),
        "lora_alpha": draw(st.sampled_from([1, 8, 16.0, -3, 2.5])),
        "lora_dropout": draw(st.sampled_from([0, 0.0, 0.1])),
        "use_rslora": draw(st.booleans()),
        "fan_in_fan_out": model.conv1d,
        "init_lora_weights": draw(st.sampled_from([True, False, "gaussian", "olora", "pissa", "orthogonal"])),
    }
    options |= draw(_targets(name))
    listed = isinstance(options["target_modules"], list)
    options |= draw(st.sampled_from([{}, {}, {"bias": "all"}, {"bias": "lora_only"}]))
    # Neither these nor a negative scale go with an initialisation that PEFT computes from the base's weight.
    variant: dict[str, Any] = draw(st.sampled_from([{}, {}, {"use_dora": True}, {"lora_bias": True}]))
    options |= variant
    if draw(st.booleans()):
        options |= draw(_patterns(name))
    negative = min([options["lora_alpha"], *options.get("alpha_pattern", {}).values()]) < 0
    # PEFT's OLoRA writes factors that do not fit Conv1D.
    if variant or negative or (model.conv1d and options["init_lora_weights"] == "olora"):
        options["init_lora_weights"] = True
    if listed and draw(st.booleans()):
        options |= draw(st.sampled_from([{"layers_to_transform": 1}, {"layers_to_transform": [0, 1]}]))
    if draw(st.booleans()):
        options["exclude_modules"] = draw(st.sampled_from([[model.targets[-1]], rf".*\.0\..*{model.targets[0]}"]))
    extra = draw(st.sampled_from(["", "", "saved", "tokens"]))
    if extra == "saved" and model.head:
        options["modules_to_save"] = [model.head]
    if extra == "tokens":
        options["trainable_token_indices"] = draw(st.sampled_from([[1, 5], {model.embedding: [2, 40]}]))
    return name, options, draw(st.sampled_from(["float32", "float32", "float16", "bfloat16", "float64"]))


@st.composite
def _targets(draw: st.DrawFn, name: str) -> dict[str, Any]:
    model = MODELS[name]
    suffixes = draw(st.lists(st.sampled_from(model.targets), min_size=1, max_size=4, unique=True))
    kind = draw(st.sampled_from(["suffixes", "suffixes", "names", "pattern", "all", "embedding", "head"]))
    if kind == "names":
        fitting = [path for path in linear_names(name) if path.endswith(tuple(f".{s}" for s in model.targets))]
        return {"target_modules": draw(st.lists(st.sampled_from(fitting), min_size=1, max_size=4, unique=True))}
    if kind == "pattern":
        return {"target_modules": r".*\.(" + "|".join(suffixes) + ")"}
    if kind == "all":
        return {"target_modules": "all-linear"}
    if kind == "embedding":
        return {"target_modules": [*suffixes, model.embedding]}
    if kind == "head" and model.head:
        return {"target_modules": [*suffixes, model.head]}
    return {"target_modules": suffixes}


@st.composite
def _patterns(draw: st.DrawFn, name: str) -> dict[str, Any]:
    model = MODELS[name]
    keys = st.sampled_from(
        [*model.targets, r"\.1\..*", f".*0.*{model.targets[0]}", "^nothing", *linear_names(name)[:4]]
    )
    ranks = draw(st.dictionaries(keys, st.integers(1, 6), max_size=2))
    alphas = draw(st.dictionaries(keys, st.sampled_from([1, 4.0, 9, -2]), max_size=2))
    # PEFT saves keys sorted, and the first that matches counts: in another order it cannot load what it saved.
    return {"rank_pattern": dict(sorted(ranks.items())), "alpha_pattern": dict(sorted(alphas.items()))}


@settings(
    max_examples=int(os.environ.get("ROUND_TRIPS", "25")),
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@given(case=cases())
def test_random_configs(case: Case) -> None:
    model, options, dtype = case
    with tempfile.TemporaryDirectory() as folder:
        try:
            save(Path(folder) / "in", model, options, dtype)
        except (ValueError, TypeError, NotImplementedError):
            reject()  # PEFT itself does not combine these.
        result = check_round_trip(Path(folder), model)
        assert result.summary.task_type == MODELS[model].task
        assert result.summary.generates == (not why_not_generated(MODELS[model].task, result.summary.features))


#: Name -> (model, options beside r, features that the inspection names).
VARIANTS: dict[str, tuple[str, dict[str, Any], set[str]]] = {
    "embedding tied to an output that is adapted along": (
        "llama, tied",
        {"target_modules": ["q_proj", "embed_tokens"], "ensure_weight_tying": True},
        {"tied", "embedding", "full_embedding"},
    ),
    "output tied to an embedding that is adapted along": (
        "llama, tied",
        {"target_modules": ["q_proj", "lm_head"], "ensure_weight_tying": True},
        {"tied", "embedding"},
    ),
    "saved embedding with its tied output": (
        "llama, tied",
        {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens"], "ensure_weight_tying": True},
        {"tied", "modules_to_save"},
    ),
    "tied tokens": (
        "llama, tied",
        {
            "target_modules": ["q_proj"],
            "trainable_token_indices": {"embed_tokens": [1, 2]},
            "ensure_weight_tying": True,
        },
        {"tied", "trainable_tokens"},
    ),
    "tokens of two matrices": (
        "llama",
        {"target_modules": ["q_proj"], "trainable_token_indices": {"embed_tokens": [1, 2], "lm_head": [3]}},
        {"trainable_tokens"},
    ),
    "saved embedding and output": (
        "llama",
        {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens", "lm_head"]},
        {"modules_to_save"},
    ),
    "saved norms by the end of their names": (
        "llama",
        {"target_modules": ["q_proj"], "modules_to_save": ["norm"]},
        {"modules_to_save"},
    ),
    "replicated layers": (
        "llama",
        {"target_modules": ["q_proj"], "layer_replication": [[0, 2], [1, 3]]},
        {"layer_replication"},
    ),
    "layers by their pattern": (
        "gpt2",
        {"target_modules": ["c_attn"], "layers_to_transform": [0, 2], "layers_pattern": "h", "fan_in_fan_out": True},
        set(),
    ),
    "activated": ("llama", {"target_modules": ["q_proj"], "alora_invocation_tokens": [9, 2]}, {"activated_lora"}),
    "parameters of experts": (
        "mixtral",
        {"target_modules": ["q_proj"], "target_parameters": ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]},
        {"target_parameters"},
    ),
    "nothing but parameters of experts": (
        "mixtral",
        {"target_modules": [], "target_parameters": ["mlp.experts.down_proj"]},
        {"target_parameters"},
    ),
    "block-diagonal": (
        "llama",
        {
            "target_modules": ["q_proj", "o_proj"],
            "use_bdlora": {"target_modules_bd_a": ["o_proj"], "target_modules_bd_b": ["q_proj"], "nblocks": 2},
        },
        {"bdlora"},
    ),
    "pooled inputs": (
        "llama",
        {"target_modules": ["q_proj"], "use_qalora": True, "qalora_group_size": 8},
        {"qalora"},
    ),
    "truncated base": ("llama", {"target_modules": ["q_proj"], "kasa_config": {}}, {"kasa"}),
    "sampled weights": ("llama", {"target_modules": ["q_proj"], "monteclora_config": {}}, {"monteclora"}),
    "trained with grouped activations": ("llama", {"target_modules": ["q_proj"], "velora_config": {}}, set()),
    "initialised from activations": ("llama", {"target_modules": ["q_proj"], "init_lora_weights": "eva"}, set()),
    "DoRA of an embedding": (
        "llama",
        {"target_modules": ["q_proj", "embed_tokens"], "use_dora": True},
        {"dora", "embedding", "full_embedding"},
    ),
    "classifier with all biases": (
        "bert, classes",
        {"target_modules": ["query"], "bias": "all"},
        {"bias", "modules_to_save"},
    ),
}


@pytest.mark.parametrize("name", sorted(VARIANTS))
def test_variants(name: str, tmp_path: Path) -> None:
    model, options, features = VARIANTS[name]
    save(tmp_path / "in", model, {"r": 4, **options})
    result = check_round_trip(tmp_path, model)
    assert set(result.summary.features) == features | ({"full_embedding"} & set(result.summary.features))
    assert {problem.code for problem in result.problems} <= {"not_generated_with", "not_merged", "mutated_base"}
    if set(result.summary.features) & set(NEVER):
        with open_directory(tmp_path / "in") as reader, pytest.raises(Refused, match="cannot be merged"):
            merge_adapters([reader], [1.0], "cat", tmp_path / "merged", threads=1)


def test_an_enlarged_vocabulary_is_saved_whole(tmp_path: Path) -> None:
    """PEFT saves both matrices when asked to, although no key of the config names them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = LoraConfig(task_type="CAUSAL_LM", r=4, target_modules=["q_proj"], init_lora_weights=False)
        get_peft_model(MODELS["llama"].build(), config).save_pretrained(
            str(tmp_path / "in"), save_embedding_layers=True
        )
    result = check_round_trip(tmp_path, "llama")
    assert result.summary.features == ("full_embedding",)
    assert result.problems == ()
