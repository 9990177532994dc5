"""What the marketplace knows of a base: read from ``config.json`` on the meta device, without weights."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from inference_worker.contracts.bases import ANY_TASK, BaseShapesResult
from inference_worker.contracts.common import BaseFiles
from inference_worker.errors import BadInput, EngineError
from inference_worker.serving.base_config import read_raw_config
from inference_worker.serving.base_loader import load_config, source_options
from inference_worker.serving.base_tasks import TASKS, adaptable_shapes, former_names, tasks_of

logger = logging.getLogger(__name__)

Progress = Callable[[float, str], None]
#: A longer template is no template; the marketplace shows it on a page.
MAX_CHAT_TEMPLATE = 200_000


def read_base_shapes(files: BaseFiles, progress: Progress = lambda share, words: None) -> BaseShapesResult:
    """Module shapes (d_out, d_in), their fingerprint, tokenizer and chat template of a base.

    Raises ``BadInput`` when the config is unknown or out of bounds. A base without tokenizer has an empty hash and
    template. Of a quantised copy the shapes are those of the model that was quantised, which is what adapters fit.
    """
    progress(0.1, "Reading the configuration")
    read_raw_config(files, source_options(files))
    config = _config(files)
    notes = _notes(config)
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    progress(0.3, "Laying out the modules")
    tasks = tasks_of(config)
    if not tasks:
        raise BadInput(
            f"The base {files.name} ({config.model_type}) is no language model that this version knows.",
            code="base_unavailable",
        )
    model = _empty(files, config, tasks[0])
    shapes = adaptable_shapes(model)
    variants = {ANY_TASK: former_names(model, config.model_type)}
    for task in tasks[1:]:
        variants[task] = adaptable_shapes(_empty(files, config, task))
    progress(0.7, "Reading the tokenizer")
    tokenizer = _tokenizer(files)
    return BaseShapesResult(
        config=json.loads(config.to_json_string(use_diff=False)),
        shapes=shapes,
        fingerprint=fingerprint(shapes),
        task=tasks[0],
        variants={task: own for task, found in variants.items() if (own := _beside(shapes, found))},
        tokenizer_hash="" if tokenizer is None else tokenizer_hash(tokenizer),
        chat_template=_chat_template(tokenizer),
        parameters=sum(parameter.numel() for parameter in {*model.parameters()}),
        notes=notes,
    )


def _config(files: BaseFiles) -> PreTrainedConfig:
    """Raises ``BadInput`` however the config is at fault: its classes check it, each in its own words."""
    try:
        return load_config(files)
    except EngineError:
        raise
    except Exception as error:
        logger.info("base_config_unreadable", extra={"base": files.name, "error": repr(error)[:500]})
        said = " ".join(str(error).split())[:300] or type(error).__name__
        raise BadInput(f"The config of the base {files.name} is at fault: {said}", code="base_unavailable") from error


def _beside(shapes: dict[str, tuple[int, int]], found: dict[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
    return {name: shape for name, shape in found.items() if shapes.get(name) != shape}


def _notes(config: PreTrainedConfig) -> tuple[str, ...]:
    quantised: Any = getattr(config, "quantization_config", None)
    if quantised is None:
        return ()
    method = quantised.get("quant_method", "") if isinstance(quantised, dict) else ""
    kind = f" ({method[:40]})" if isinstance(method, str) and method else ""
    return (f"This is a quantised copy{kind}; the shapes are those of the model that was quantised.",)


def empty_model(files: BaseFiles, config: PreTrainedConfig) -> PreTrainedModel:
    """The causal language model of ``config`` with shapes and no storage."""
    try:
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    except (ValueError, KeyError, ImportError) as error:
        raise BadInput(
            f"The base {files.name} ({config.model_type}) is no causal language model that this version knows: {error}",
            code="base_unavailable",
        ) from error
    assert isinstance(model, PreTrainedModel)
    return model


def _empty(files: BaseFiles, config: PreTrainedConfig, task: str) -> PreTrainedModel:
    """The model of ``config`` for a task, with shapes and no storage. Raises ``BadInput`` whatever a model class says:
    a config is somebody else's data, and each class has its own way of choking on it."""
    try:
        with torch.device("meta"):
            model = TASKS[task][0].from_config(config, trust_remote_code=False)
    except Exception as error:
        logger.info("base_not_built", extra={"base": files.name, "task": task, "error": repr(error)[:500]})
        said = " ".join(str(error).split())[:300] or type(error).__name__
        raise BadInput(
            f"From the config of the base {files.name} ({config.model_type}) no model can be built: {said}",
            code="base_unavailable",
        ) from error
    assert isinstance(model, PreTrainedModel)
    return model


def fingerprint(shapes: dict[str, tuple[int, int]]) -> str:
    """sha256 of the sorted shapes: equal for bases whose adapters fit each other."""
    listed = [[name, *shapes[name]] for name in sorted(shapes)]
    return hashlib.sha256(json.dumps(listed, separators=(",", ":")).encode()).hexdigest()


def tokenizer_hash(tokenizer: PreTrainedTokenizerBase) -> str:
    """sha256 of the vocabulary with ids, sorted, and of the backend's canonical JSON where there is one."""
    backend: Any = getattr(tokenizer, "backend_tokenizer", None)
    content: dict[str, Any] = {"vocabulary": tokenizer.get_vocab()}
    if backend is not None:
        description = json.loads(backend.to_str())
        # Truncation and padding are how a caller used it last, not what it is.
        content["backend"] = {key: value for key, value in description.items() if key not in ("truncation", "padding")}
    canonical = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _tokenizer(files: BaseFiles) -> PreTrainedTokenizerBase | None:
    try:
        return AutoTokenizer.from_pretrained(files.source, **source_options(files))
    except Exception as error:  # noqa: BLE001 (tokenizers choke on foreign files in as many ways as models do)
        logger.info("base_without_tokenizer", extra={"base": files.name, "error": repr(error)[:500]})
        return None  # The shapes are of use without it; a registered base without tokenizer fails when it is loaded.


def _chat_template(tokenizer: PreTrainedTokenizerBase | None) -> str:
    template = getattr(tokenizer, "chat_template", None)
    if isinstance(template, dict):
        template = template.get("default")
    return template if isinstance(template, str) and len(template) <= MAX_CHAT_TEMPLATE else ""
