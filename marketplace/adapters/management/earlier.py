"""First versions of some of the demo's adapters: what their owners may have tried before the shipped one.

Real files with results of their own: the shipped adapter with fewer of its ranks, or at a part of its strength.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from marketplace.accounts.models import User
from marketplace.adapters import services
from marketplace.adapters.imports import import_adapter
from marketplace.adapters.models import Adapter
from marketplace.adapters.services.retiring import deprecate_version, yank_version
from marketplace.adapters.uploads.incoming import IncomingFile
from marketplace.adapters.uploads.selection import CARD, CONFIG

WEIGHTS = "adapter_model.safetensors"
_BITS: dict[str, type[np.unsignedinteger[Any]]] = {"BF16": np.uint16, "F16": np.uint16, "F32": np.uint32}
Bits = np.ndarray[Any, np.dtype[np.unsignedinteger[Any]]]


@dataclass(frozen=True)
class Earlier:
    """``ranks`` are kept of the shipped adapter, or all of them at ``strength``; ``message`` is the second version's.
    What became of the first: it is deprecated or yanked in these words, or still offered."""

    first: str
    message: str
    ranks: int | None = None
    strength: float = 1.0
    deprecated: str = ""
    yanked: str = ""


EARLIER: dict[str, Earlier] = {
    "wordsmith/plural-nouns": Earlier(
        "Two ranks, to see how little is enough",
        "All eight ranks instead of two",
        ranks=2,
        deprecated="Two ranks are too few. Take the newest version.",
    ),
    "wordsmith/past-tense": Earlier("Four ranks", "Eight ranks instead of four", ranks=4),
    "wordsmith/opposites": Earlier(
        "First try",
        "Full strength: lora_alpha was a quarter of what it was trained with",
        strength=0.25,
        yanked="lora_alpha is wrong: a quarter of what it was trained with.",
    ),
    "lists/reverse-words": Earlier("Three of eight ranks", "All eight ranks", ranks=3),
    "lists/last-word": Earlier("At half strength", "At full strength, as it was trained", strength=0.5),
    "studio/word-category": Earlier("Four ranks", "All eight ranks instead of four", ranks=4),
    "studio/capital-cities": Earlier("At half strength", "At full strength, as it was trained", strength=0.5),
}


def import_with_history(
    *, owner: User, source: Path, name: str, fields: Mapping[str, Any], earlier: Earlier, scratch: Path
) -> Adapter:
    """Publish the earlier files in ``scratch`` first, then what lies in ``source`` as the second version."""
    folder = write_earlier(source, scratch, earlier)
    adapter = import_adapter(owner=owner, source=folder, name=name, fields=fields, message=earlier.first)
    first = adapter.current
    # The card is kept: only the weights and their config are others.
    files = [IncomingFile.from_disk(source / part) for part in (CONFIG, WEIGHTS)]
    upload = services.create_upload(user=owner, files=files)
    adapter = services.publish_upload(user=owner, upload=upload, adapter=adapter, message=earlier.message)
    if first is not None and earlier.deprecated:
        deprecate_version(user=owner, version=first, message=earlier.deprecated)
    if first is not None and earlier.yanked:
        yank_version(user=owner, version=first, reason=earlier.yanked)
    return adapter


def write_earlier(source: Path, folder: Path, earlier: Earlier) -> Path:
    """The adapter in ``source`` with fewer ranks or less strength, as files in ``folder``."""
    folder.mkdir(parents=True)
    config = json.loads((source / CONFIG).read_text(encoding="utf-8"))
    alpha = config["lora_alpha"] * earlier.strength
    if earlier.ranks is None:
        shutil.copyfile(source / WEIGHTS, folder / WEIGHTS)
    else:
        keep = min(earlier.ranks, config["r"])
        # The scale is alpha over rank, and stays.
        alpha *= keep / config["r"]
        config["r"] = keep
        cut_ranks(source / WEIGHTS, folder / WEIGHTS, keep)
    config["lora_alpha"] = int(alpha) if alpha == int(alpha) else alpha
    (folder / CONFIG).write_text(json.dumps(config, indent=2), encoding="utf-8")
    if (source / CARD).is_file():
        shutil.copyfile(source / CARD, folder / CARD)
    return folder


def cut_ranks(source: Path, target: Path, keep: int) -> None:
    """Keep of every module the ``keep`` ranks that change it most: rank i adds b_i a_i, of norm ‖b_i‖ ‖a_i‖. Numbers
    are copied bit by bit."""
    bits, types = _read(source)
    for name in [name for name in bits if ".lora_A." in name]:
        other = name.replace(".lora_A.", ".lora_B.")
        down, up = _values(bits[name], types[name]), _values(bits[other], types[other])  # (r, d_in), (d_out, r)
        sizes = np.linalg.norm(down, axis=1) * np.linalg.norm(up, axis=0)  # (r,)
        kept = np.sort(np.argsort(-sizes, kind="stable")[:keep])
        bits[name], bits[other] = bits[name][kept], bits[other][:, kept]
    _write(target, bits, types)


def _read(path: Path) -> tuple[dict[str, Bits], dict[str, str]]:
    """The tensors of a safetensors file as bit patterns, and their types. The web's side has no library for it, and
    NumPy no bf16."""
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    header.pop("__metadata__", None)
    types = {name: tensor["dtype"] for name, tensor in header.items()}
    bits = {}
    for name, tensor in header.items():
        first, last = (start + offset for offset in tensor["data_offsets"])
        bits[name] = np.frombuffer(data[first:last], dtype=_BITS[tensor["dtype"]]).reshape(tensor["shape"])
    return bits, types


def _values(bits: Bits, dtype: str) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The bits of a bf16 are the upper half of a float's."""
    if dtype == "BF16":
        return (bits.astype(np.uint32) << 16).view(np.float32)
    return bits.view(np.float16 if dtype == "F16" else np.float32).astype(np.float32)


def _write(path: Path, bits: Mapping[str, Bits], types: Mapping[str, str]) -> None:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    data = b""
    for name, tensor in bits.items():
        start, data = len(data), data + tensor.tobytes()
        header[name] = {"dtype": types[name], "shape": list(tensor.shape), "data_offsets": [start, len(data)]}
    written = json.dumps(header, separators=(",", ":")).encode()
    written += b" " * (-len(written) % 8)
    path.write_bytes(len(written).to_bytes(8, "little") + written + data)
