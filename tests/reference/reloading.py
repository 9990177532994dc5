"""PEFT's logits of many adapters of one form, without building the model anew for each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from peft import PeftModel, set_peft_model_state_dict
from reference.tiny_adapters import load_peft, logits, tiny_llama
from safetensors.torch import load_file
from torch import Tensor


class Reloader:
    """Loads adapters as ``PeftModel.from_pretrained`` does. Where config, names and shapes are those of an adapter that
    was loaded before, only the second half of that is done: the tensors go into the model there is."""

    def __init__(self, base: Any = tiny_llama) -> None:
        self._base = base
        self._models: dict[tuple[Any, ...], PeftModel] = {}

    def logits(self, directory: Path) -> Tensor:
        tensors = load_file(directory / "adapter_model.safetensors")
        shapes = tuple(sorted((name, tensor.shape) for name, tensor in tensors.items()))
        form = ((directory / "adapter_config.json").read_text(), shapes)
        if form in self._models:
            result = set_peft_model_state_dict(self._models[form], tensors)
            assert not result.unexpected_keys
        else:
            self._models[form] = load_peft(directory, self._base)
        return logits(self._models[form])
