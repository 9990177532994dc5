"""A base's checkpoint on disk: its tensors by name, in the order of its files, none of them in memory."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from huggingface_hub import snapshot_download

from inference_worker.adapter_format.header import TensorEntry
from inference_worker.adapter_format.stream import TORCH_DTYPES, TensorFile
from inference_worker.contracts.common import BaseFiles
from inference_worker.errors import BadInput

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
#: Headers of checkpoints are larger than those of adapters: a mixture of experts has tens of thousands of tensors.
_MAX_HEADER = 100 << 20
#: Beside the weights, what belongs to the model: tokenizer, chat template, how to generate, terms.
COMPANIONS = (
    "generation_config.json", "tokenizer.json", "tokenizer_config.json", "tokenizer.model", "special_tokens_map.json",
    "added_tokens.json", "vocab.json", "vocab.txt", "merges.txt", "spiece.model", "chat_template.jinja",
    "chat_template.json", "LICENSE", "LICENSE.txt", "LICENSE.md", "NOTICE", "NOTICE.txt", "USE_POLICY.md",
)  # fmt: skip
_MAX_COMPANION = 200 << 20


@dataclass(frozen=True)
class Stored:
    """A tensor of the checkpoint: where its bytes lie."""

    entry: TensorEntry
    file: TensorFile


class Checkpoint:
    """An open checkpoint; use it as a context manager. ``tensors`` are in the order of the files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tensors: dict[str, Stored] = {}
        self._stack = ExitStack()
        try:
            for path in _files(folder):
                file = self._stack.enter_context(TensorFile(path))
                for entry in _entries(path):
                    self.tensors[entry.name] = Stored(entry, file)
        except BaseException:
            self._stack.close()
            raise

    def __enter__(self) -> Checkpoint:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def companions(self) -> list[Path]:
        """The files of ``COMPANIONS`` that are there."""
        found = [self.folder / name for name in COMPANIONS]
        return [path for path in found if path.is_file() and path.stat().st_size <= _MAX_COMPANION]


def locate(base: BaseFiles) -> Path:
    """The folder of a base's files: its directory, or the hub's copy in the worker's cache, fetched where it is not.

    Raises ``BadInput`` when it cannot be had.
    """
    if Path(base.source).is_dir():
        return Path(base.source)
    patterns = ["*.safetensors", INDEX, "config.json", *COMPANIONS]
    try:
        return Path(snapshot_download(base.source, revision=base.revision, allow_patterns=patterns))
    except (OSError, ValueError) as error:
        said = str(error).strip().splitlines()
        raise unavailable(base.name, said[0] if said else type(error).__name__) from error


def unavailable(base: str, why: str) -> BadInput:
    return BadInput(f"The weights of the base {base} cannot be read: {why}", code="base_unavailable")


def _files(folder: Path) -> list[Path]:
    index = folder / INDEX
    if index.is_file():
        try:
            names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        except (ValueError, KeyError, AttributeError) as error:
            raise unavailable(folder.name, f"{INDEX} is damaged.") from error
    else:
        names = [SINGLE]
    for name in names:
        if "/" in name or not (folder / name).is_file():
            raise unavailable(folder.name, f"there is no {name}; only checkpoints in safetensors are exported.")
    return [folder / name for name in names]


def _entries(path: Path) -> list[TensorEntry]:
    """The header of one file, in the order of its bytes."""
    size = path.stat().st_size
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8).ljust(8, b"\xff"))
        if length > min(size - 8, _MAX_HEADER):
            raise unavailable(path.name, "its header is damaged.")
        try:
            table: Mapping[str, Any] = json.loads(file.read(length))
            found = [_entry(name, row, 8 + length) for name, row in table.items() if name != "__metadata__"]
        except (ValueError, KeyError, TypeError) as error:
            raise unavailable(path.name, "its header is damaged.") from error
    if any(not 0 <= entry.start <= entry.end <= size for entry in found):
        raise unavailable(path.name, "it is shorter than its header says.")
    return sorted(found, key=lambda entry: entry.start)


def _entry(name: str, row: Mapping[str, Any], data: int) -> TensorEntry:
    start, end = row["data_offsets"]
    entry = TensorEntry(name, row["dtype"], tuple(row["shape"]), data + start, data + end)
    if entry.dtype in TORCH_DTYPES and entry.nbytes != entry.count * TORCH_DTYPES[entry.dtype].itemsize:
        raise ValueError(name)
    return entry
