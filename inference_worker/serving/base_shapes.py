"""What the marketplace knows of a base: read from ``config.json`` on the meta device, without weights."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from inference_worker.contracts.bases import BaseShapesResult
from inference_worker.contracts.common import BaseFiles
from inference_worker.errors import BadInput
from inference_worker.serving.base_loader import load_config, source_options
from inference_worker.serving.multi_adapter_linear import linear_modules, linear_shape


def read_base_shapes(files: BaseFiles) -> BaseShapesResult:
    """Module shapes (d_out, d_in), their fingerprint, tokenizer and chat template of a base.

    Raises ``BadInput`` when the config is unknown. A base without tokenizer has an empty hash and template.
    """
    config = load_config(files)
    model = empty_model(files, config)
    shapes = {name: linear_shape(module) for name, module in linear_modules(model).items()}
    tokenizer = _tokenizer(files)
    return BaseShapesResult(
        config=json.loads(config.to_json_string(use_diff=False)),
        shapes=shapes,
        fingerprint=fingerprint(shapes),
        tokenizer_hash="" if tokenizer is None else tokenizer_hash(tokenizer),
        chat_template=_chat_template(tokenizer),
        parameters=sum(parameter.numel() for parameter in {*model.parameters()}),
    )


def empty_model(files: BaseFiles, config: PreTrainedConfig) -> PreTrainedModel:
    """The model of ``config`` with shapes and no storage."""
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
    except (OSError, ValueError, KeyError, ImportError):
        return None  # The shapes are of use without it; a registered base without tokenizer fails when it is loaded.


def _chat_template(tokenizer: PreTrainedTokenizerBase | None) -> str:
    template = getattr(tokenizer, "chat_template", None)
    if isinstance(template, dict):
        template = template.get("default")
    return template if isinstance(template, str) else ""
