"""Write an adapter again under PEFT's own names: every number kept, whatever variant of LoRA it is.

A doubled or missing prefix, an adapter's name or a wrapper inside names, entries listed twice: PEFT loads the result
where it silently loaded nothing of the original.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from inference_worker.adapter_format.header import TensorEntry
from inference_worker.adapter_format.keys import Part
from inference_worker.adapter_format.layout import natural_order
from inference_worker.adapter_format.reader import AdapterReader
from inference_worker.adapter_format.writer import AdapterWriter

_ENDINGS: dict[Part, str] = {
    "A": "lora_A.weight",
    "B": "lora_B.weight",
    "bias": "lora_B.bias",
    "embedding_A": "lora_embedding_A",
    "embedding_B": "lora_embedding_B",
    "magnitude": "lora_magnitude_vector",
}
_LISTS = ("target_modules", "exclude_modules", "modules_to_save")


def rewrite_adapter(reader: AdapterReader, directory: str | Path) -> dict[str, Any]:
    """Write ``reader``'s tensors byte for byte and its config, repaired, into ``directory``. Returns the config."""
    tensors = dict(_named(reader))
    shapes = {name: entry.shape for name, entry in tensors.items()}
    # The type of modules that are added counts for nothing here: each tensor keeps its own.
    with AdapterWriter(Path(directory), [], torch.float32, shapes) as writer:
        for name in sorted(tensors, key=natural_order):
            writer.copy_extra(name, reader.file, tensors[name])
        return writer.finish_with(repaired_config(reader.raw_config))


def _named(reader: AdapterReader) -> Iterator[tuple[str, TensorEntry]]:
    """Every tensor that PEFT would load, by its name inside the base."""
    for info in reader.modules.values():
        embedding = info.kind == "embedding"
        yield f"{info.name}.{_ENDINGS['embedding_A' if embedding else 'A']}", info.a
        yield f"{info.name}.{_ENDINGS['embedding_B' if embedding else 'B']}", info.b
        if info.bias is not None:
            yield f"{info.name}.{_ENDINGS['bias']}", info.bias
        if info.magnitude is not None:
            yield f"{info.name}.{_ENDINGS['magnitude']}", info.magnitude
    for module, parts in reader.odd.items():
        for part, entry in parts.items():
            yield f"{module}.{_ENDINGS[part]}", entry
    yield from reader.extras.items()


def repaired_config(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The config as it was, without entries that stand twice and without the switches that only PEFT 0.2 knew."""
    config = {key: value for key, value in raw.items() if key not in ("enable_lora", "merge_weights")}
    for key in _LISTS:
        if isinstance(config.get(key), list):
            config[key] = list(dict.fromkeys(config[key]))
    return dict(sorted(config.items()))
