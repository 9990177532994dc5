"""``adapter_config.json``: read it, check it, and keep what PEFT means by it.

Field names and defaults: peft.LoraConfig 0.2–0.21. Nothing here imports PEFT, and nothing in the file is executed.
"""

from __future__ import annotations

import codecs
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from inference_worker.adapter_format.config_checks import CHECKS
from inference_worker.adapter_format.config_keys import HEADS, IMPLIED_TASKS, MUTATING_INITS, VARIANT_KEYS
from inference_worker.adapter_format.faults import Unreadable, error
from inference_worker.adapter_format.header import is_text, unique_pairs
from inference_worker.adapter_format.names import CONFIG_NAME
from inference_worker.adapter_format.sniff import PREFIX_BYTES, sniff
from inference_worker.contracts.check_limits import Limits, current_limits
from inference_worker.contracts.common import Problem


@dataclass(frozen=True)
class AdapterConfig:
    """The checked fields; ``raw`` is the file's own table, unknown keys included."""

    raw: Mapping[str, Any]
    rank: int
    alpha: float
    use_rslora: bool = False
    use_dora: bool = False
    lora_bias: bool = False
    fan_in_fan_out: bool = False
    bias: str = "none"
    task_type: str = ""
    base_model_name: str = ""
    revision: str = ""
    peft_version: str = ""
    #: A tuple of suffixes, one regular expression, or None where the file leaves it out.
    target_modules: tuple[str, ...] | str | None = None
    exclude_modules: tuple[str, ...] | str | None = None
    modules_to_save: tuple[str, ...] = ()
    rank_pattern: Mapping[str, int] = field(default_factory=dict)
    alpha_pattern: Mapping[str, float] = field(default_factory=dict)
    features: tuple[str, ...] = ()

    def scale(self, rank: int, alpha: float) -> float:
        """The factor before B·A: alpha/r, or alpha/sqrt(r) with rank-stabilised LoRA (arXiv 2312.03732)."""
        return alpha / math.sqrt(rank) if self.use_rslora else alpha / rank

    @property
    def heads(self) -> tuple[str, ...]:
        """Heads that PEFT saves with adapters of this task, whether the config lists them or not."""
        return HEADS.get(self.task_type, ())

    def saves(self, name: str) -> bool:
        """Whether the tensor ``name`` (inside the base) belongs to a module that the adapter replaces as a whole.

        PEFT takes every module whose path ends in an entry: ``norm`` means ``input_layernorm``, too.
        """
        parts = name.split(".")[:-1]
        paths = (".".join(parts[:end]) for end in range(1, len(parts) + 1))
        return bool(self._saved) and any(path[at:] in self._saved for path in paths for at in range(len(path)))

    @cached_property
    def _saved(self) -> frozenset[str]:
        return frozenset((*self.modules_to_save, *self.heads))


def read_config(path: Path, limits: Limits | None = None) -> tuple[AdapterConfig | None, dict[str, Any], list[Problem]]:
    """Parse and check ``path``: (config or None when an error makes it useless, raw table, problems).

    Raises ``Unreadable`` when it is not a JSON object at all, ``OSError`` from the disk.
    """
    limits = limits or current_limits()
    with path.open("rb") as file:
        data = file.read(limits.config_bytes + 1)
    raw = _parse_json(data, limits)
    problems = _check_depth(raw, limits)
    for check in CHECKS if not problems else ():
        problems.extend(check(raw, limits))
    if any(problem.severity == "error" for problem in problems):
        return None, raw, problems
    return _build(raw), raw, problems


def _parse_json(data: bytes, limits: Limits) -> dict[str, Any]:
    if len(data) > limits.config_bytes:
        message = f"The file is larger than {limits.config_bytes} bytes."
        raise Unreadable(error("config_too_large", CONFIG_NAME, message))
    foreign = sniff(data[:PREFIX_BYTES], CONFIG_NAME)
    if foreign is not None:
        raise Unreadable(foreign)
    if data.startswith(codecs.BOM_UTF8):
        message = "The file starts with a byte order mark, which PEFT does not read."
        raise Unreadable(error("config_not_json", CONFIG_NAME, message, "Save it as UTF-8 without that mark."))
    try:
        raw = json.loads(data.decode(), object_pairs_hook=unique_pairs, parse_constant=_no_constant)
    except (ValueError, RecursionError) as fault:
        message = f"The file is not valid JSON: {str(fault)[:200]}."
        raise Unreadable(error("config_not_json", CONFIG_NAME, message)) from fault
    if not isinstance(raw, dict):
        raise Unreadable(error("config_not_json", CONFIG_NAME, "The file is not a JSON object."))
    if not is_text(raw):
        raise Unreadable(error("config_not_json", CONFIG_NAME, "A text in the file is no Unicode: half a character."))
    return raw


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is not JSON")


def _check_depth(raw: dict[str, Any], limits: Limits) -> list[Problem]:
    level: list[Any] = [raw]
    for _ in range(limits.config_depth):
        level = [
            inner
            for value in level
            for inner in (value.values() if isinstance(value, dict) else value)
            if isinstance(inner, (dict, list))
        ]
        if not level:
            return []
    message = f"The file is nested deeper than {limits.config_depth} levels."
    return [error("config_too_deep", CONFIG_NAME, message)]


def _build(raw: dict[str, Any]) -> AdapterConfig:
    """The config of a checked table; null means PEFT's default, as PEFT itself takes it."""
    return AdapterConfig(
        raw=raw,
        rank=raw.get("r", 8),
        alpha=float(raw.get("lora_alpha", 8)),
        use_rslora=bool(raw.get("use_rslora")),
        use_dora=bool(raw.get("use_dora")),
        lora_bias=bool(raw.get("lora_bias")),
        fan_in_fan_out=bool(raw.get("fan_in_fan_out")),
        bias=raw.get("bias") or "none",
        task_type=_task(raw),
        base_model_name=raw.get("base_model_name_or_path") or "",
        revision=raw.get("revision") or "",
        peft_version=raw.get("peft_version") or "",
        target_modules=_modules(raw.get("target_modules")),
        exclude_modules=_modules(raw.get("exclude_modules") or None),
        modules_to_save=tuple(dict.fromkeys(raw.get("modules_to_save") or ())),
        rank_pattern=dict(raw.get("rank_pattern") or {}),
        alpha_pattern={key: float(value) for key, value in (raw.get("alpha_pattern") or {}).items()},
        features=_features(raw),
    )


def _modules(value: list[str] | str | None) -> tuple[str, ...] | str | None:
    return tuple(dict.fromkeys(value)) if isinstance(value, list) else value


def _task(raw: dict[str, Any]) -> str:
    """The task as the config names it, or as the class of the base implies it where it names none."""
    if raw.get("task_type"):
        return str(raw["task_type"])
    mapping = raw.get("auto_mapping") or {}
    name = str(mapping.get("base_model_class") or "")
    return next((task for ending, task in IMPLIED_TASKS.items() if name.endswith(ending)), "")


def _features(raw: dict[str, Any]) -> tuple[str, ...]:
    features = [feature for key, feature in VARIANT_KEYS.items() if raw.get(key) not in (None, False, [], {})]
    features += [key for key in ("rank_pattern", "alpha_pattern", "modules_to_save") if raw.get(key)]
    if raw.get("use_rslora"):
        features.append("rslora")
    if raw.get("bias") not in (None, "none"):
        features.append("bias")
    init = raw.get("init_lora_weights", True)
    if isinstance(init, str) and MUTATING_INITS.match(init.lower()):
        features.append("mutated_base")
    return tuple(features)
