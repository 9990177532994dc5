"""An adapter as one GGUF file, as llama.cpp takes it with ``--lora``.

Layout: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md and llama.cpp's ``convert_lora_to_gguf.py``: tensors
are named ``<base tensor>.weight.lora_a`` (r, d_in) and ``.lora_b`` (d_out, r), and llama.cpp computes
Δ = adapter.lora.alpha / r · B·A with the r of each tensor. GGUF has one alpha for all modules, so whatever a module's
scale differs from alpha / r by goes into its B.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedConfig

from inference_worker.adapter_format.layout import ModuleInfo
from inference_worker.adapter_format.reader import AdapterReader
from inference_worker.adapter_format.writer import DTYPES
from inference_worker.contracts.common import BaseFiles
from inference_worker.errors import BadInput, Refused
from inference_worker.exporting.architectures import ARCHITECTURES, Architecture
from inference_worker.exporting.casting import cast
from inference_worker.exporting.patches import refuse_features
from inference_worker.serving.base_loader import load_config

Progress = Callable[[float, str], None]

_FILE_TYPES = {"float32": gguf.LlamaFileType.ALL_F32, "float16": gguf.LlamaFileType.MOSTLY_F16}
_NUMPY = {"float32": np.float32, "float16": np.float16}


@dataclass(frozen=True)
class GgufReport:
    tensors: int
    alpha: float
    architecture: str
    dtype: str


def export_gguf(
    reader: AdapterReader,
    base: BaseFiles,
    path: Path,
    *,
    dtype: str = "same",
    license: str = "",
    progress: Progress = lambda fraction, message: None,
) -> GgufReport:
    """Write ``reader`` to ``path``. ``dtype`` is float32 or float16; “same” is float16 for adapters stored in it, and
    float32 for all others, which loses nothing.

    Raises ``Refused`` for what GGUF cannot hold and ``BadInput`` where the adapter does not fit the base.
    """
    refuse_features(reader, "gguf")
    config = load_config(base).get_text_config(decoder=True)
    form = _architecture(config, base)
    written = _dtype(reader, dtype)
    names = {name: _gguf_name(reader, name, form, config) for name in reader.modules}
    alpha = reader.config.alpha if reader.config.alpha > 0 else float(reader.config.rank)
    writer = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[form.arch])
    try:
        _write_metadata(writer, reader, base, alpha, written, license)
        for name, info in reader.modules.items():
            for suffix, shape in _shapes(info, names[name]).items():
                size = shape[0] * shape[1] * np.dtype(_NUMPY[written]).itemsize
                writer.add_tensor_info(f"{names[name]}.{suffix}", shape, np.dtype(_NUMPY[written]), size)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for number, (name, info) in enumerate(reader.modules.items(), start=1):
            for tensor in _tensors(reader, info, names[name], form, config, alpha):
                writer.write_tensor_data(_converted(tensor, name, written))
            progress(number / len(reader.modules), name)
    finally:
        writer.close()
    return GgufReport(2 * len(names), alpha, gguf.MODEL_ARCH_NAMES[form.arch], written)


def _architecture(config: PreTrainedConfig, base: BaseFiles) -> Architecture:
    form = ARCHITECTURES.get(config.model_type)
    if form is None:
        raise Refused(
            f"Adapters of {config.model_type} ({base.name}) are not written as GGUF here; supported are "
            f"{', '.join(sorted(ARCHITECTURES))}.",
            code="export_refused",
        )
    return form


def _dtype(reader: AdapterReader, dtype: str) -> str:
    if dtype == "same":
        return "float16" if all(info.dtype == "F16" for info in reader.modules.values()) else "float32"
    if dtype not in _NUMPY:
        raise Refused(f"A GGUF adapter is written in float32 or float16, not in {dtype}.", code="export_refused")
    return dtype


def _gguf_name(reader: AdapterReader, module: str, form: Architecture, config: PreTrainedConfig) -> str:
    found = gguf.get_tensor_name_map(form.arch, config.num_hidden_layers).get_name(module)
    if found is None:
        raise BadInput(
            f"The adapter {reader.label} does not fit this base: {module} has no counterpart in GGUF's "
            f"{gguf.MODEL_ARCH_NAMES[form.arch]} models.",
            code="wrong_base",
        )
    if found == "output" and config.tie_word_embeddings:
        raise Refused(
            f"{reader.label} adapts the output layer, which GGUF models of this base share with the embeddings; "
            "llama.cpp would not find it. Export a merged model instead.",
            code="export_refused",
        )
    return f"{found}.weight"


def _write_metadata(
    writer: gguf.GGUFWriter, reader: AdapterReader, base: BaseFiles, alpha: float, dtype: str, license: str
) -> None:
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, alpha)
    writer.add_name(reader.label)
    writer.add_base_model_count(1)
    writer.add_base_model_name(0, base.name)
    if license:
        writer.add_license(license)
    writer.add_file_type(_FILE_TYPES[dtype])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)


def _shapes(info: ModuleInfo, name: str) -> dict[str, tuple[int, int]]:
    """Token embeddings are looked up by row, so their A stands transposed."""
    a = (info.d_in, info.rank) if name == "token_embd.weight" else (info.rank, info.d_in)
    return {"lora_a": a, "lora_b": (info.d_out, info.rank)}


def _tensors(
    reader: AdapterReader, info: ModuleInfo, name: str, form: Architecture, config: PreTrainedConfig, alpha: float
) -> Iterator[Tensor]:
    """A and B in float32, or float64 where they are stored in it, with alpha / r · B·A = Δ."""
    A, B = (reader.file.read(entry) for entry in (info.a, info.b))
    A, B = (part.to(torch.promote_types(part.dtype, torch.float32)) for part in (A, B))
    factor = info.scale * info.rank / alpha
    if factor != 1.0:
        B = B * factor
    if form.permuted and name.endswith(("attn_q.weight", "attn_k.weight")):
        query = name.endswith("attn_q.weight")
        B = permute_rows(B, config.num_attention_heads if query else config.num_key_value_heads)
    yield A.T if name == "token_embd.weight" else A
    yield B


def permute_rows(rows: Tensor, heads: int) -> Tensor:
    """Rows (d_out, …) of ``heads`` heads, from halves (x₀ x₁ … y₀ y₁ …) to neighbouring pairs (x₀ y₀ x₁ y₁ …)."""
    return rows.unflatten(0, (heads, 2, rows.shape[0] // heads // 2)).transpose(1, 2).flatten(0, 2)


def _converted(tensor: Tensor, module: str, dtype: str) -> np.ndarray[tuple[int, ...], np.dtype[np.floating]]:
    result: np.ndarray[tuple[int, ...], np.dtype[np.floating]]
    result = cast(tensor, DTYPES[dtype], module, [DTYPES[name] for name in _NUMPY]).numpy()
    return result
