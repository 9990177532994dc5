"""Load a base model once: safetensors only, no code from model repositories, linear modules wrapped."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as transformers_logging

from inference_worker.contracts.common import BaseFiles
from inference_worker.errors import BadInput, Refused
from inference_worker.serving.multi_adapter_linear import MultiAdapterLinear, wrap_linear_modules
from inference_worker.serving.settings import EngineSettings

#: Layer types whose state is keys and values; others (recurrent, state space) need a cache of another kind.
ATTENTION_LAYERS = frozenset({"full_attention", "sliding_attention", "chunked_attention"})

#: Where a config names no longest position.
UNLIMITED = 1 << 20


@dataclass(frozen=True, eq=False)
class LoadedBase:
    """A base on its device. ``layers`` are the wrapped linear modules by the names that adapters use."""

    name: str
    source: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    layers: dict[str, MultiAdapterLinear]
    device: torch.device
    dtype: torch.dtype
    #: Longest row, prompt and answer, that the positions allow.
    context: int
    #: Tokens that end an answer.
    stop_tokens: frozenset[int]

    @property
    def nbytes(self) -> int:
        return model_bytes(self.model)

    @property
    def vocabulary(self) -> int:
        """Logits per token."""
        return int(self.model.get_output_embeddings().weight.shape[0])


def load_base(files: BaseFiles, settings: EngineSettings) -> LoadedBase:
    """Load model and tokenizer from a directory or the hub.

    Raises ``BadInput`` when they cannot be loaded and ``Refused`` for architectures that are not served.
    """
    transformers_logging.disable_progress_bar()  # Workers log lines, not bars.
    config = load_config(files)
    refuse_unserved(files, config)
    device = settings.resolve_device()
    options = source_options(files)
    try:
        tokenizer = AutoTokenizer.from_pretrained(files.source, **options)
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            files.source,
            config=config,
            dtype=settings.resolve_dtype(device, checkpoint_dtype(config)),
            use_safetensors=True,
            output_loading_info=True,
            **options,
        )
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise _not_loaded(files, error) from error
    model, loading = loaded
    refuse_missing_weights(files, sorted(loading["missing_keys"]))
    model.eval().requires_grad_(False)
    model.to(device)
    return assemble_base(files, model, tokenizer)


def assemble_base(files: BaseFiles, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> LoadedBase:
    """Wrap a model that is in memory; it is changed in place."""
    return LoadedBase(
        name=files.name,
        source=files.source,
        model=model,
        tokenizer=tokenizer,
        layers=wrap_linear_modules(model),
        device=model.device,
        dtype=model.dtype,
        context=context_length(model.config.get_text_config(decoder=True)),
        stop_tokens=end_tokens(model, tokenizer),
    )


def load_config(files: BaseFiles) -> PreTrainedConfig:
    """``config.json`` of a base; raises ``BadInput`` when there is none that transformers knows."""
    if files.source.startswith(("/", "./", "../", "~")) and not Path(files.source).is_dir():
        raise BadInput(f"The base {files.name} has no directory {files.source}.", code="base_unavailable")
    try:
        config: PreTrainedConfig = AutoConfig.from_pretrained(files.source, **source_options(files))
    except (OSError, ValueError, KeyError) as error:
        raise _not_loaded(files, error) from error
    return config


def source_options(files: BaseFiles) -> dict[str, Any]:
    """How every file of a base is fetched: a directory is read in place, code is never run."""
    if Path(files.source).is_dir():
        return {"local_files_only": True, "trust_remote_code": False}
    return {"revision": files.revision or "main", "trust_remote_code": False}


def refuse_unserved(files: BaseFiles, config: PreTrainedConfig) -> None:
    """Raise ``Refused`` for models whose rows hold more than keys and values."""
    layer_types = set(getattr(config.get_text_config(decoder=True), "layer_types", None) or ())
    foreign = sorted(layer_types - ATTENTION_LAYERS)
    if foreign or config.is_encoder_decoder:
        what = ", ".join(foreign) if foreign else "an encoder"
        raise Refused(
            f"The base {files.name} ({config.model_type}) cannot be served: it has {what}; "
            "decoder-only attention models are served.",
            code="base_not_served",
        )
    if getattr(config, "quantization_config", None) is not None:
        raise Refused(
            f"The base {files.name} is quantised; register the unquantised checkpoint.", code="base_not_served"
        )


def refuse_missing_weights(files: BaseFiles, missing: list[str]) -> None:
    """Raise ``BadInput`` when the checkpoint is another kind of model: transformers would fill in random weights."""
    if missing:
        raise BadInput(
            f"The base {files.name} is no complete causal language model: its checkpoint lacks {len(missing)} weights, "
            f"for example {missing[0]}.",
            code="base_unavailable",
        )


def checkpoint_dtype(config: PreTrainedConfig) -> torch.dtype:
    """The dtype the checkpoint was saved in."""
    dtype = getattr(config, "dtype", None) or getattr(config.get_text_config(decoder=True), "dtype", None)
    return dtype if isinstance(dtype, torch.dtype) else torch.float32


def context_length(config: PreTrainedConfig) -> int:
    """The longest row that the positions allow.

    Rotary scalings of the types ``longrope`` and ``dynamic`` change every row's angles once one row of the batch
    exceeds the original length; rows stay below it, so that nobody's text depends on who shares the batch.
    """
    longest = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None) or UNLIMITED
    rope = getattr(config, "rope_parameters", None) or {}
    for parameters in (rope, *rope.values()):  # Some models have a set of parameters per type of layer.
        if isinstance(parameters, dict) and parameters.get("rope_type") in ("longrope", "dynamic"):
            longest = min(longest, parameters.get("original_max_position_embeddings") or longest)
    return int(longest)


def end_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """Every token that the model's or the tokenizer's settings call the end of a text."""
    found: set[int] = set()
    generation = getattr(model, "generation_config", None)
    configured = getattr(model.config.get_text_config(decoder=True), "eos_token_id", None)
    for value in (getattr(generation, "eos_token_id", None), configured, tokenizer.eos_token_id):
        if isinstance(value, int):
            found.add(value)
        elif value is not None:
            found.update(int(token) for token in value)
    return frozenset(found)


def model_bytes(model: nn.Module) -> int:
    """Bytes of parameters and buffers, shared ones once."""
    return sum(tensor.nbytes for tensor in {*model.parameters(), *model.buffers()})


def _not_loaded(files: BaseFiles, error: Exception) -> BadInput:
    words = str(error).strip().splitlines()
    return BadInput(
        f"The base {files.name} cannot be loaded from {files.source}: {words[0] if words else type(error).__name__} "
        "Register a directory or a hub id with config.json, a tokenizer and safetensors weights.",
        code="base_unavailable",
    )
