"""Adapters of every task: stored, measured, merged where the algebra allows, and said not to write text."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from reference.tiny_adapters import edit_config, edit_tensors, peft_delta
from reference.tiny_models import MODELS
from torch import Tensor

from inference_worker.adapter_format import inspect_adapter, open_directory
from inference_worker.contracts.adapter_uses import TASKS_WITHOUT_TEXT
from inference_worker.contracts.inspect import InspectResult
from inference_worker.errors import Refused
from inference_worker.merging.pipeline import merge_adapters

#: Model -> the head that PEFT saves with it.
WITHOUT_TEXT = {
    "llama, classes": "score",
    "bert, classes": "classifier",
    "bert, tokens": "classifier",
    "bert, answers": "qa_outputs",
    "llama, features": "",
    "t5": "",
}


@pytest.fixture(autouse=True)
def _quiet(recwarn: pytest.WarningsRecorder) -> None:
    """PEFT warns of configs without a base's name, which tiny models have none of."""


def save(directory: Path, model: str, seed: int = 0) -> Path:
    kind = MODELS[model]
    config = LoraConfig(task_type=kind.task, r=4, target_modules=list(kind.targets[:2]))
    adapted = get_peft_model(kind.build(), config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_" in name:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.2)
    adapted.save_pretrained(str(directory))
    return directory


def inspect(directory: Path) -> InspectResult:
    return inspect_adapter(directory / "adapter_config.json", directory / "adapter_model.safetensors")


@pytest.mark.parametrize("model", list(WITHOUT_TEXT))
def test_tasks_without_text_are_valid_and_say_so(model: str, tmp_path: Path) -> None:
    result = inspect(save(tmp_path, model))
    task = MODELS[model].task
    assert result.valid
    assert result.modules
    assert result.signature
    assert not result.summary.generates
    assert TASKS_WITHOUT_TEXT[task] in result.summary.generates_not
    (problem,) = result.problems
    assert (problem.code, problem.severity) == ("not_generated_with", "info")
    assert task in problem.message
    assert ("modules_to_save" in result.summary.features) == bool(WITHOUT_TEXT[model])


@pytest.mark.parametrize("model", [model for model, head in WITHOUT_TEXT.items() if head])
def test_a_head_that_no_list_names_is_accounted_for(model: str, tmp_path: Path) -> None:
    """Early PEFT added the head to the file and not to the config."""
    save(tmp_path, model)
    edit_config(tmp_path, modules_to_save=None)
    result = inspect(tmp_path)
    assert [problem.code for problem in result.problems] == ["not_generated_with"]
    assert "modules_to_save" in result.summary.features
    with open_directory(tmp_path) as reader:
        assert any(WITHOUT_TEXT[model] in name for name in reader.carried)


def test_a_missing_head_is_pointed_out(tmp_path: Path) -> None:
    save(tmp_path, "llama, classes")
    edit_tensors(tmp_path, lambda tensors: {name: tensor for name, tensor in tensors.items() if "score" not in name})
    missing = [problem.place for problem in inspect(tmp_path).problems if problem.code == "saved_module_missing"]
    assert missing == ["classifier", "score"]


def test_a_task_is_read_from_the_class_of_the_base(tmp_path: Path) -> None:
    save(tmp_path, "bert, tokens")
    library = "transformers.models.bert.modeling_bert"
    mapping = {"base_model_class": "BertForTokenClassification", "parent_library": library}
    edit_config(tmp_path, task_type=None, modules_to_save=None, auto_mapping=mapping)
    result = inspect(tmp_path)
    assert result.summary.task_type == "TOKEN_CLS"
    assert [problem.code for problem in result.problems] == ["not_generated_with"]


@pytest.mark.parametrize("model", list(WITHOUT_TEXT))
def test_adapters_of_one_task_are_merged(model: str, tmp_path: Path) -> None:
    """A head is carried through where both have the same one."""
    folders = [save(tmp_path / name, model, seed) for seed, name in enumerate(("a", "b"))]
    readers = [open_directory(folder) for folder in folders]
    merge_adapters(readers, [0.5, -0.25], "cat", tmp_path / "merged", threads=1)
    expected: dict[str, Tensor] = {}
    for folder, weight in zip(folders, (0.5, -0.25), strict=True):
        loaded = PeftModel.from_pretrained(MODELS[model].build(), str(folder))
        for name, delta in peft_delta(loaded, "default").items():
            expected[name] = expected.get(name, torch.zeros(())) + weight * delta
    merged = PeftModel.from_pretrained(MODELS[model].build(), str(tmp_path / "merged"))
    found = peft_delta(merged, "default")
    assert found.keys() == expected.keys()
    for name, delta in expected.items():
        torch.testing.assert_close(found[name], delta, atol=1e-5, rtol=1e-5)
    result = inspect(tmp_path / "merged")
    assert (result.valid, result.summary.task_type) == (True, MODELS[model].task)


def test_different_heads_are_refused_by_name(tmp_path: Path) -> None:
    readers = []
    for seed, name in enumerate(("a", "b")):
        save(tmp_path / name, "bert, classes", seed)
        edit_tensors(
            tmp_path / name,
            lambda tensors: {key: value + seed if "classifier" in key else value for key, value in tensors.items()},  # noqa: B023
        )
        readers.append(open_directory(tmp_path / name))
    with pytest.raises(Refused, match=r"a and b both bring their own classifier\.") as caught:
        merge_adapters(readers, [1.0, 1.0], "svd", tmp_path / "merged", threads=1)
    assert caught.value.code == "refused_modules_to_save"


def test_two_tasks_are_refused_by_name(tmp_path: Path) -> None:
    readers = [open_directory(save(tmp_path / name, name)) for name in ("llama", "llama, classes")]
    with pytest.raises(Refused, match="trained for the task SEQ_CLS and llama for CAUSAL_LM") as caught:
        merge_adapters(readers, [1.0, 1.0], "svd", tmp_path / "merged", threads=1)
    assert caught.value.code == "refused_task_type"
