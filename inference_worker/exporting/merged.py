"""Base and adapter as one model: safetensors shards with an index, config, tokenizer, and how it was made."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from transformers import PreTrainedModel

from inference_worker.adapter_format.reader import AdapterReader
from inference_worker.adapter_format.stream import TORCH_DTYPES
from inference_worker.adapter_format.writer import DTYPE_NAMES, DTYPES, to_json
from inference_worker.contracts.common import BaseFiles
from inference_worker.contracts.export import SHARD_BYTES
from inference_worker.errors import Refused
from inference_worker.exporting.checkpoint import INDEX, SINGLE, Checkpoint, Stored, locate, unavailable
from inference_worker.exporting.patches import Patch, Plan, plan_patches
from inference_worker.exporting.targets import Target
from inference_worker.exporting.tensors import Output, stream_tensor
from inference_worker.serving.base_config import read_raw_config
from inference_worker.serving.base_loader import load_config, source_options
from inference_worker.serving.base_shapes import empty_model

Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class MergedReport:
    size: int
    shards: int
    tensors: int
    changed: int
    untied: bool


def export_merged(
    reader: AdapterReader,
    base: BaseFiles,
    target: Target,
    *,
    dtype: str = "same",
    shard_bytes: int = SHARD_BYTES,
    license: str = "",
    digests: Mapping[str, str] | None = None,
    progress: Progress = lambda fraction, message: None,
) -> MergedReport:
    """Write the base with ``reader`` inside to ``target``, tensor by tensor.

    Raises ``Refused`` for what a model's weights cannot hold, and ``BadInput`` when base and adapter do not fit or the
    base cannot be read.
    """
    _refuse_task(reader)
    config = load_config(base)
    raw = read_raw_config(base, source_options(base))
    if raw.get("quantization_config"):
        raise Refused(
            f"The base {base.name} is quantised; a merged model is made of the unquantised checkpoint.",
            code="export_refused",
        )
    model = empty_model(base, config)
    plan = plan_patches(reader, model)
    with Checkpoint(locate(base)) as checkpoint:
        outputs = list_outputs(checkpoint, model, plan, dtype, base.name)
        shards = split(outputs, shard_bytes)
        size = _write_shards(shards, reader, target, progress)
        _write_index(shards, target)
        table = _config(raw, dtype, plan.untied)
        _write(target, "config.json", to_json(table))
        for path in checkpoint.companions():
            _write(target, path.name, path.read_bytes())
    changed = sum(output.patch != Patch() for output in outputs)
    _write(target, "export.json", to_json(_recipe(reader, base, dtype, plan, digests)))
    _write(target, "README.md", _card(reader, base, license).encode())
    return MergedReport(size, len(shards), len(outputs), changed, plan.untied)


def _refuse_task(reader: AdapterReader) -> None:
    task = reader.config.task_type
    if task not in ("", "CAUSAL_LM"):
        raise Refused(
            f"{reader.label} is an adapter for {task}; merged models are made for text generation (CAUSAL_LM). Load it "
            "with PEFT in its own task.",
            code="export_refused",
        )


def list_outputs(checkpoint: Checkpoint, model: PreTrainedModel, plan: Plan, dtype: str, base: str) -> list[Output]:
    """Every tensor of the export in the checkpoint's order, under the checkpoint's names.

    Raises ``Refused`` when the checkpoint names its tensors otherwise than the model does, so that a patch would be
    lost.
    """
    names = _model_names(checkpoint.tensors, model)
    patches = dict(plan.patches)
    outputs = []
    done: set[str] = set()
    for name, stored in checkpoint.tensors.items():
        parameter = names.get(name, "")
        outputs.append(_output(name, stored, patches.get(parameter, Patch()), dtype, base))
        done.add(parameter)
    if plan.tied is not None:
        # The checkpoint holds a shared tensor once; untied, the other one is written beside it.
        for one, other in (plan.tied, plan.tied[::-1]):
            if one in done and other not in done:
                stored = next(tensor for name, tensor in checkpoint.tensors.items() if names.get(name) == one)
                if plan.untied:
                    outputs.append(
                        _output(_written_name(other, names), stored, patches.get(other, Patch()), dtype, base)
                    )
                done.add(other)
    lost = sorted(set(patches) - done)
    if lost:
        raise Refused(
            f"The checkpoint of {base} stores {lost[0]} in another form than the model has it, so the adapter cannot "
            f"be merged into it ({len(lost)} tensors).",
            code="export_layout",
            extra={"tensors": lost[:50]},
        )
    return outputs


def _model_names(tensors: Mapping[str, Stored], model: PreTrainedModel) -> dict[str, str]:
    """Tensor of the checkpoint → parameter of the model, as loading maps them: checkpoints of a bare model lack the
    prefix, and shapes must agree."""
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    prefix = f"{model.base_model_prefix}."
    found = {}
    for name, stored in tensors.items():
        for candidate in (name, prefix + name, name.removeprefix(prefix)):
            if shapes.get(candidate) == stored.entry.shape:
                found[name] = candidate
                break
    return found


def _written_name(parameter: str, names: Mapping[str, str]) -> str:
    """An output head stands beside the bare model in every checkpoint; an input embedding as the others do."""
    sample = next((name for name, found in names.items() if found.partition(".")[0] == parameter.partition(".")[0]), "")
    known = names.get(sample, sample)
    return parameter.removeprefix(known.removesuffix(sample)) if sample and known.endswith(sample) else parameter


def _output(name: str, stored: Stored, patch: Patch, dtype: str, base: str) -> Output:
    own = stored.entry.dtype
    if own not in TORCH_DTYPES:
        if patch != Patch() or own.startswith("F"):
            raise unavailable(base, f"{name} is stored as {own}; checkpoints in 16, 32 or 64 bits are exported.")
        return Output(name, stored, patch, own)  # Whole numbers, such as position ids, stay as they are.
    return Output(name, stored, patch, own if dtype == "same" else DTYPE_NAMES[DTYPES[dtype]])


def split(outputs: Sequence[Output], shard_bytes: int) -> list[list[Output]]:
    """Consecutive tensors per shard, each shard at most ``shard_bytes`` unless one tensor alone is larger."""
    shards: list[list[Output]] = [[]]
    filled = 0
    for output in outputs:
        if shards[-1] and filled + output.nbytes > shard_bytes:
            shards.append([])
            filled = 0
        shards[-1].append(output)
        filled += output.nbytes
    return shards


def shard_name(index: int, count: int) -> str:
    return SINGLE if count == 1 else f"model-{index + 1:05d}-of-{count:05d}.safetensors"


def _write_shards(shards: Sequence[Sequence[Output]], reader: AdapterReader, target: Target, progress: Progress) -> int:
    total = sum(output.nbytes for shard in shards for output in shard)
    written = 0
    for index, shard in enumerate(shards):
        name = shard_name(index, len(shards))
        header = _header(shard)
        size = len(header) + sum(output.nbytes for output in shard)
        with target.create(name, size) as sink:
            sink.write(header)
            for output in shard:
                for piece in stream_tensor(output, reader):
                    sink.write(piece)
                    written += len(piece)
                    progress(0.02 + 0.96 * written / max(total, 1), f"{name}: {output.name}")
    return total


def _header(shard: Sequence[Output]) -> bytes:
    table: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    position = 0
    for output in shard:
        end = position + output.nbytes
        table[output.name] = {"dtype": output.dtype, "shape": list(output.shape), "data_offsets": [position, end]}
        position = end
    encoded = json.dumps(table, separators=(",", ":")).encode()
    encoded = encoded.ljust((len(encoded) + 7) // 8 * 8)
    return struct.pack("<Q", len(encoded)) + encoded


def _write_index(shards: Sequence[Sequence[Output]], target: Target) -> None:
    if len(shards) == 1:
        return
    total = sum(output.nbytes for shard in shards for output in shard)
    table = {
        "metadata": {"total_size": total},
        "weight_map": {
            output.name: shard_name(index, len(shards)) for index, shard in enumerate(shards) for output in shard
        },
    }
    _write(target, INDEX, to_json(table))


def _write(target: Target, name: str, data: bytes) -> None:
    with target.create(name, len(data)) as sink:
        sink.write(data)


def _config(raw: Mapping[str, Any], dtype: str, untied: bool) -> dict[str, Any]:
    """The base's own config with what has changed; where it came from and code of its own are left out."""
    table = {key: value for key, value in raw.items() if key not in ("_name_or_path", "auto_map")}
    if untied:
        for part in (table, table.get("text_config")):
            if isinstance(part, dict) and (part is table or "tie_word_embeddings" in part):
                part["tie_word_embeddings"] = False
    if dtype != "same":
        for key in ("dtype", "torch_dtype"):
            if key in table or key == "dtype":
                table[key] = dtype
    return table


def _recipe(
    reader: AdapterReader, base: BaseFiles, dtype: str, plan: Plan, digests: Mapping[str, str] | None
) -> dict[str, Any]:
    return {
        "format": 1,
        "kind": "merged_model",
        "base": {"name": base.name, "revision": base.revision},
        "adapter": {"label": reader.label, **(digests or reader.digests())},
        "dtype": dtype,
        "untied": plan.untied,
        "versions": {"brickyard": metadata.version("brickyard")},
    }


def _card(reader: AdapterReader, base: BaseFiles, license: str) -> str:
    front = {"base_model": base.name, "base_model_relation": "merge", "library_name": "transformers"}
    if license:
        front["license"] = license
    lines = "\n".join(f"{key}: {json.dumps(value)}" for key, value in front.items())
    return (
        f"---\n{lines}\n---\n\n# {reader.label} merged into {base.name}\n\nThe weights of {base.name} with the adapter "
        f"{reader.label} inside; `export.json` names the bytes that it was made of. The terms of both apply.\n"
    )
