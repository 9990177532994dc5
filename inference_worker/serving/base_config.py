"""A base's ``config.json`` before any library builds a model from it: it is somebody else's data.

A model without storage still costs Python objects, one per module, so a config may ask for a billion layers and get
them. What a config may ask for is therefore bounded here, far above the largest models there are.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from transformers import CONFIG_MAPPING
from transformers.utils import cached_file

from inference_worker.contracts.common import BaseFiles
from inference_worker.errors import BadInput, Refused

CONFIG = "config.json"
MAX_CONFIG_BYTES = 1_000_000
MAX_LAYERS = 1_000
MAX_EXPERTS = 4_096
#: Layers × experts: DeepSeek-V3 has 61 × 256.
MAX_BLOCKS = 200_000
MAX_WIDTH = 20_000_000
#: Every label gets a name of its own in memory.
MAX_LABELS = 100_000
_MAX_DEPTH = 20

_LAYERS = re.compile(r"(^|_)(layers?|blocks?|depths?)\Z")
_EXPERTS = re.compile(r"(^|_)experts\Z")
_WIDTH = re.compile(r"(^|_)(sizes?|dim|heads?|positions|embd|inner|rank|model|ff|kv|groups|width)\Z")
_LABELS = re.compile(r"(^|_)labels\Z")


def read_raw_config(files: BaseFiles, options: dict[str, Any]) -> dict[str, Any]:
    """``config.json`` of a directory or a hub repository as it is written.

    Raises ``BadInput`` when there is none, or none that can be read, and ``Refused`` for one out of bounds or one that
    needs code of its own.
    """
    where = f"of the base {files.name} ({files.source})"
    try:
        path = cached_file(files.source, CONFIG, **{k: v for k, v in options.items() if k != "trust_remote_code"})
    except (OSError, ValueError) as error:
        said = str(error).strip().splitlines()
        raise _unreadable(
            f"The {CONFIG} {where} cannot be read: {said[0] if said else type(error).__name__}"
        ) from error
    if path is None or not Path(path).is_file():
        raise _unreadable(f"There is no {CONFIG} {where}.")
    if Path(path).stat().st_size > MAX_CONFIG_BYTES:
        raise _refused(f"The {CONFIG} {where} is larger than {MAX_CONFIG_BYTES:,} bytes.")
    try:
        raw = json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise _unreadable(f"The {CONFIG} {where} is not valid JSON.") from error
    if not isinstance(raw, dict):
        raise _unreadable(f"The {CONFIG} {where} is not a JSON object.")
    refuse_own_code(files, raw)
    refuse_boundless(files, raw)
    return raw


def refuse_own_code(files: BaseFiles, raw: dict[str, Any]) -> None:
    """Raise ``Refused`` for a model that only the repository's own Python can build.

    Some repositories bring code for a model that the library has known since; the library's is taken then.
    """
    model_type = raw.get("model_type")
    if raw.get("auto_map") and not (isinstance(model_type, str) and model_type in CONFIG_MAPPING):
        raise _refused(
            f"The base {files.name} needs Python code of its own repository (auto_map), and code of repositories is "
            "never run here. Register a copy in a format that transformers knows by itself."
        )


def refuse_boundless(files: BaseFiles, raw: dict[str, Any]) -> None:
    """Raise ``Refused`` for numbers that no model has."""
    layers = experts = 1
    for key, value in _numbers(raw):
        if _LAYERS.search(key):
            layers = max(layers, value)
            _bound(files, key, value, MAX_LAYERS)
        elif _EXPERTS.search(key):
            experts = max(experts, value)
            _bound(files, key, value, MAX_EXPERTS)
        elif _LABELS.search(key):
            _bound(files, key, value, MAX_LABELS)
        elif _WIDTH.search(key):
            _bound(files, key, value, MAX_WIDTH)
    if layers * experts > MAX_BLOCKS:
        raise _refused(f"The base {files.name} has {layers} layers of {experts} experts; {MAX_BLOCKS:,} are read.")


def _numbers(value: Any, key: str = "", depth: int = 0) -> Iterator[tuple[str, int]]:
    """Every whole number with the key that it stands under, however deep."""
    if depth > _MAX_DEPTH:
        return
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _numbers(inner, str(name), depth + 1)
    elif isinstance(value, list):
        for inner in value:
            yield from _numbers(inner, key, depth + 1)
    elif isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        yield key, int(value)


def _bound(files: BaseFiles, key: str, value: int, limit: int) -> None:
    if abs(value) > limit:
        raise _refused(f"The config of the base {files.name} says {key} = {value}; at most {limit:,} is read.")


def _refused(words: str) -> Refused:
    return Refused(words, code="base_not_served")


def _unreadable(words: str) -> BadInput:
    return BadInput(words, code="base_unavailable")
