"""Export: an adapter in another tool's form (kind ``export``)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import Field

from inference_worker.contracts.common import AdapterFiles, BaseFiles, Contract, OutputFile

ExportFormat = Literal["merged", "gguf"]
ExportDtype = Literal["same", "float32", "float16", "bfloat16"]

#: Bytes of one shard of a merged model unless told otherwise, as transformers writes them.
SHARD_BYTES = 5 * 10**9

#: Format -> (title, what it is for); pages and REST say the same.
FORMATS: dict[str, tuple[str, str]] = {
    "merged": ("Merged model", "The base with the adapter inside, as safetensors for transformers, vLLM and kin."),
    "gguf": ("GGUF adapter", "One file for llama.cpp, to be loaded beside the base with --lora."),
}

#: Format -> what an adapter may have beside plain factors. Everything else is refused by its name.
UNDERSTOOD: dict[str, frozenset[str]] = {
    "merged": frozenset(
        {"dora", "rslora", "rank_pattern", "alpha_pattern", "unknown_tensors", "modules_to_save", "bias", "lora_bias",
         "embedding", "full_embedding", "trainable_tokens", "tied"}
    ),
    "gguf": frozenset({"rslora", "rank_pattern", "alpha_pattern", "unknown_tensors", "embedding"}),
}  # fmt: skip


def foreign_features(export_format: str, features: Iterable[str]) -> list[str]:
    """What of ``features`` the format cannot hold, in words."""
    return sorted(feature.replace("_", " ") for feature in set(features) - UNDERSTOOD[export_format])


class ExportRequest(Contract):
    """``dtype`` of the output; “same” keeps the base's (merged) or the adapter's, as far as GGUF has it (gguf)."""

    format: ExportFormat
    adapter: AdapterFiles
    base: BaseFiles
    dtype: ExportDtype = "same"
    shard_bytes: int = Field(default=SHARD_BYTES, ge=1_000_000)
    max_bytes: int = Field(gt=0)
    license: str = ""


class ExportResult(Contract):
    """``untied`` says that input and output embeddings of the merged model differ although the base shares them."""

    format: ExportFormat
    files: tuple[OutputFile, ...]
    size: int
    untied: bool = False
    seconds: float = 0.0
