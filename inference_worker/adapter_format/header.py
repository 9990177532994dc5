"""Our own reader of the safetensors header: the first code to touch an uploaded weights file.

The library accepts duplicate keys, zero-size tensors, headers of 100 MB and names with control characters; this one
does not. It imports no tensor library. Format: https://github.com/huggingface/safetensors#format.
"""

from __future__ import annotations

import json
import math
import os
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inference_worker.adapter_format.faults import Unreadable, error
from inference_worker.adapter_format.names import WEIGHTS_NAME
from inference_worker.adapter_format.sniff import PREFIX_BYTES, sniff
from inference_worker.contracts.check_limits import Limits, current_limits

NAME = re.compile(r"[A-Za-z0-9_\-]+(\.[A-Za-z0-9_\-]+)*\Z")

#: Bytes per element of the types that a LoRA may have. F64 is accepted and noted.
ITEM_SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}

_REEXPORT = "Save the adapter again with a current PEFT or safetensors and upload the new file."


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """One tensor's place in the file: ``start`` and ``end`` are absolute byte offsets."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int

    @property
    def nbytes(self) -> int:
        return self.end - self.start

    @property
    def count(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class Header:
    tensors: Mapping[str, TensorEntry]  # in the order of the header
    metadata: Mapping[str, str]
    size: int  # bytes of the whole file


class _Duplicate(ValueError):
    """A key occurs twice in one JSON object."""


def unique_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """``object_pairs_hook`` that refuses duplicate keys, of which readers would silently keep different ones."""
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _Duplicate(key)
            seen.add(key)
    return result


def is_text(value: Any) -> bool:
    """Whether all texts in parsed JSON can be written again: an escape may stand for half of a surrogate pair."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except (UnicodeEncodeError, RecursionError):
        return False
    return True


def read_header(path: Path, limits: Limits | None = None) -> Header:
    """Parse and check the header of ``path``. Raises ``Unreadable`` with the problem, ``OSError`` from the disk."""
    limits = limits or current_limits()
    place = WEIGHTS_NAME
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        prefix = file.read(PREFIX_BYTES)
        problem = sniff(prefix, place)
        if problem is not None:
            raise Unreadable(problem)
        if size < 10:
            raise _fault("truncated", place, f"The file has {size} bytes, too few for a safetensors header.")
        (length,) = struct.unpack("<Q", prefix[:8])
        _check_length(length, size, prefix, place, limits)
        file.seek(8)
        raw = file.read(length)
    return _parse(raw, 8 + length, size, place, limits)


def _fault(code: str, place: str, message: str, remedy: str = _REEXPORT) -> Unreadable:
    return Unreadable(error(code, place, message, remedy))


def _check_length(length: int, size: int, prefix: bytes, place: str, limits: Limits) -> None:
    if prefix[8:9] != b"{":
        raise _fault("not_safetensors", place, "The file does not start with a safetensors header.")
    if length > limits.header_bytes:
        raise _fault("header_too_large", place, f"The header claims {length} bytes; at most {limits.header_bytes} fit.")
    if 8 + length > size:
        raise _fault(
            "truncated",
            place,
            f"The header claims {length} bytes but the file ends after {size}.",
            "Upload the file again; the transfer or the save broke off.",
        )


def _parse(raw: bytes, data_start: int, size: int, place: str, limits: Limits) -> Header:
    try:
        table = json.loads(raw.decode("utf-8"), object_pairs_hook=unique_pairs, parse_constant=_no_constant)
    except _Duplicate as duplicate:
        raise _fault("duplicate_tensor", place, f"The header names {str(duplicate)[:100]!r} twice.") from duplicate
    except (ValueError, RecursionError) as fault:
        raise _fault("header_not_json", place, f"The header is not valid JSON: {str(fault)[:200]}.") from fault
    if not isinstance(table, dict):
        raise _fault("header_not_json", place, "The header is not a JSON object.")
    metadata = _metadata(table.pop("__metadata__", {}), place, limits)
    if not table:
        raise _fault("no_tensors", place, "The file holds no tensors.")
    if len(table) > limits.tensors:
        message = f"The file holds {len(table)} tensors; at most {limits.tensors} are read."
        raise _fault("too_many_tensors", place, message)
    tensors = {name: _entry(name, value, data_start, place, limits) for name, value in table.items()}
    _check_coverage(tensors, data_start, size, place)
    return Header(tensors=tensors, metadata=metadata, size=size)


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is not JSON")


def _metadata(value: Any, place: str, limits: Limits) -> dict[str, str]:
    strings = isinstance(value, dict) and all(isinstance(item, str) for item in value.values())
    if not strings:
        raise _fault("bad_metadata", place, "The header's __metadata__ is not a table of strings.")
    if sum(len(key) + len(item) for key, item in value.items()) > limits.metadata_bytes:
        raise _fault("bad_metadata", place, f"__metadata__ is longer than {limits.metadata_bytes} characters.")
    if not is_text(value):
        raise _fault("bad_metadata", place, "__metadata__ holds half a character.")
    return dict(value)


def _entry(name: str, value: Any, data_start: int, place: str, limits: Limits) -> TensorEntry:
    if len(name) > limits.name_length or not NAME.match(name):
        raise _fault(
            "bad_tensor_name",
            place,
            f"The tensor name {name[:100]!r} is not made of dotted letters, digits, '_' and '-', "
            f"or is longer than {limits.name_length} characters.",
        )
    if not isinstance(value, dict) or set(value) != {"dtype", "shape", "data_offsets"}:
        raise _fault("bad_tensor_entry", name, "The entry must hold dtype, shape and data_offsets, nothing else.")
    dtype = _dtype(value["dtype"], name)
    shape = _naturals(value["shape"], name, "shape")
    offsets = _naturals(value["data_offsets"], name, "data_offsets")
    if len(shape) > limits.dimensions or len(offsets) != 2:
        raise _fault("bad_tensor_entry", name, "The shape has too many dimensions or data_offsets is not a pair.")
    count = math.prod(shape)
    if count == 0:
        raise _fault(
            "zero_size_tensor",
            name,
            f"The tensor has shape {list(shape)} and holds no numbers. Sharded training saves such files when the "
            "shards were not gathered first.",
            "Gather the parameters (DeepSpeed ZeRO-3, FSDP) before save_pretrained and upload the new file.",
        )
    if offsets[1] - offsets[0] != count * ITEM_SIZES[dtype]:
        raise _fault(
            "bad_offsets", name, f"Shape {list(shape)} of {dtype} does not fill the bytes {offsets[0]} to {offsets[1]}."
        )
    return TensorEntry(name, dtype, shape, data_start + offsets[0], data_start + offsets[1])


def _dtype(value: Any, name: str) -> str:
    if isinstance(value, str) and value in ITEM_SIZES:
        return value
    shown = str(value)[:20]
    if shown.startswith("F8"):
        reason = "Eight-bit floats need scales that the file does not carry"
    elif shown.startswith(("I", "U", "BOOL")):
        reason = "Integers are quantised values whose meaning the file does not carry"
    else:
        reason = "The type is unknown"
    raise _fault(
        "dtype_refused",
        name,
        f"The tensor is stored as {shown}. {reason}; adapters are read as F32, F16 or BF16.",
        "Save the adapter in float32, float16 or bfloat16.",
    )


def _naturals(value: Any, name: str, field: str) -> tuple[int, ...]:
    good = isinstance(value, list) and all(type(item) is int and 0 <= item < 2**48 for item in value)
    if not good:
        raise _fault("bad_tensor_entry", name, f"{field} is not a list of non-negative whole numbers below 2^48.")
    return tuple(value)


def _check_coverage(tensors: Mapping[str, TensorEntry], data_start: int, size: int, place: str) -> None:
    """The tensors must tile the file: no hole, no overlap, no byte after the last one."""
    position = data_start
    for entry in sorted(tensors.values(), key=lambda item: item.start):
        if entry.start != position:
            kind = "overlaps the one before it" if entry.start < position else "leaves unused bytes before it"
            raise _fault("bad_offsets", entry.name, f"The tensor {kind} (byte {entry.start}, expected {position}).")
        position = entry.end
    if position > size:
        raise _fault(
            "truncated",
            place,
            f"The tensors need {position} bytes but the file has {size}.",
            "Upload the file again; the transfer or the save broke off.",
        )
    if position < size:
        raise _fault("trailing_bytes", place, f"{size - position} bytes follow the last tensor.")
