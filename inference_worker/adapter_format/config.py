"""``adapter_config.json``: read it, check it, and keep what PEFT means by it.

Field names and defaults: peft.LoraConfig 0.17–0.21. Nothing here imports PEFT, and nothing in the file is executed.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inference_worker.adapter_format.config_keys import KNOWN_KEYS, MUTATING_INITS, VARIANT_KEYS
from inference_worker.adapter_format.faults import Unreadable, error, note, warning
from inference_worker.adapter_format.header import unique_pairs
from inference_worker.adapter_format.names import CONFIG_NAME
from inference_worker.adapter_format.sniff import PREFIX_BYTES, sniff
from inference_worker.contracts.common import Problem

MAX_CONFIG_BYTES = 1_000_000
MAX_DEPTH = 12
MAX_RANK = 4096
ACCEPTED_PEFT_TYPES = ("LORA",)


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
    modules_to_save: tuple[str, ...] = ()
    rank_pattern: Mapping[str, int] = field(default_factory=dict)
    alpha_pattern: Mapping[str, float] = field(default_factory=dict)
    features: tuple[str, ...] = ()

    def scale(self, rank: int, alpha: float) -> float:
        """The factor before B·A: alpha/r, or alpha/sqrt(r) with rank-stabilised LoRA (arXiv 2312.03732)."""
        return alpha / math.sqrt(rank) if self.use_rslora else alpha / rank


def read_config(path: Path) -> tuple[AdapterConfig | None, dict[str, Any], list[Problem]]:
    """Parse and check ``path``: (config or None when an error makes it useless, raw table, problems).

    Raises ``Unreadable`` when it is not a JSON object at all, ``OSError`` from the disk.
    """
    place = CONFIG_NAME
    with path.open("rb") as file:
        data = file.read(MAX_CONFIG_BYTES + 1)
    raw = _parse_json(data, place)
    problems: list[Problem] = []
    for check in (_check_depth, _check_type, _check_code, _check_numbers, _check_lists, _check_flags, _note_unknown):
        problems.extend(check(raw, place))
    if any(problem.severity == "error" for problem in problems):
        return None, raw, problems
    return _build(raw), raw, problems


def _parse_json(data: bytes, place: str) -> dict[str, Any]:
    remedy = "Upload the adapter_config.json that PEFT's save_pretrained wrote."
    if len(data) > MAX_CONFIG_BYTES:
        raise Unreadable(error("config_too_large", place, f"The file is larger than {MAX_CONFIG_BYTES} bytes.", remedy))
    foreign = sniff(data[:PREFIX_BYTES], place)
    if foreign is not None:
        raise Unreadable(foreign)
    try:
        raw = json.loads(data.decode("utf-8-sig"), object_pairs_hook=unique_pairs, parse_constant=_no_constant)
    except (ValueError, RecursionError) as fault:
        text = str(fault)[:200]
        raise Unreadable(error("config_not_json", place, f"The file is not valid JSON: {text}.", remedy)) from fault
    if not isinstance(raw, dict):
        raise Unreadable(error("config_not_json", place, "The file is not a JSON object.", remedy))
    return raw


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is not JSON")


def _check_depth(raw: dict[str, Any], place: str) -> list[Problem]:
    level: list[Any] = [raw]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for value in level
            for inner in (value.values() if isinstance(value, dict) else value)
            if isinstance(inner, (dict, list))
        ]
        if not level:
            return []
    remedy = "Upload the adapter_config.json that PEFT's save_pretrained wrote."
    return [error("config_too_deep", place, f"The file is nested deeper than {MAX_DEPTH} levels.", remedy)]


def _check_type(raw: dict[str, Any], place: str) -> list[Problem]:
    kind = raw.get("peft_type")
    if kind in ACCEPTED_PEFT_TYPES:
        return []
    if kind is None:
        return [error("peft_type_missing", "peft_type", "The config names no peft_type.", 'Set "peft_type": "LORA".')]
    shown = str(kind)[:60]
    message = f"The adapter is of type {shown}; LoRA adapters (peft_type LORA) are accepted."
    remedy = "Train a LoRA adapter, or convert this one with PEFT if its method allows it."
    return [error("peft_type_refused", "peft_type", message, remedy)]


def _check_code(raw: dict[str, Any], place: str) -> list[Problem]:
    """Nothing in a config may point at code outside transformers."""
    problems = []
    if raw.get("trust_remote_code"):
        message = "The config asks for trust_remote_code; adapters never run code here."
        problems.append(error("remote_code_refused", "trust_remote_code", message, "Remove the key."))
    mapping = raw.get("auto_mapping")
    if mapping is None:
        return problems
    library = mapping.get("parent_library") if isinstance(mapping, dict) else None
    plain = isinstance(library, str) and re.fullmatch(r"transformers(\.[a-z0-9_]+)*", library)
    if not plain or set(mapping) - {"parent_library", "base_model_class"}:
        message = "auto_mapping names code outside transformers, which loading the adapter would import."
        problems.append(error("remote_code_refused", "auto_mapping", message, 'Set "auto_mapping": null.'))
    return problems


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e9


def _is_rank(value: Any) -> bool:
    return type(value) is int and 1 <= value <= MAX_RANK


def _check_numbers(raw: dict[str, Any], place: str) -> list[Problem]:
    problems = []
    if not _is_rank(raw.get("r", 8)):
        message = f"r is {str(raw.get('r'))[:40]}; it must be a whole number from 1 to {MAX_RANK}."
        problems.append(error("bad_rank", "r", message, "Set r to the rank the adapter was trained with."))
    if not _is_number(raw.get("lora_alpha", 8)):
        message = f"lora_alpha is {str(raw.get('lora_alpha'))[:40]}; it must be a number."
        problems.append(error("bad_alpha", "lora_alpha", message, "Set lora_alpha to the value used in training."))
    patterns: list[tuple[str, Callable[[Any], bool]]] = [("rank_pattern", _is_rank), ("alpha_pattern", _is_number)]
    for key, good in patterns:
        table = raw.get(key) or {}
        if not isinstance(table, dict) or not all(good(value) for value in table.values()):
            message = f"{key} must map module names to numbers."
            problems.append(error("bad_pattern", key, message, "Write {} if the adapter has no such exceptions."))
    return problems


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) and len(item) <= 500 for item in value)


def _check_lists(raw: dict[str, Any], place: str) -> list[Problem]:
    problems = []
    target = raw.get("target_modules")
    if not (target is None or isinstance(target, str) or _is_names(target)):
        message = "target_modules must be a list of module names or one pattern."
        remedy = "List the adapted modules' names."
        problems.append(error("bad_target_modules", "target_modules", message, remedy))
    saved = raw.get("modules_to_save")
    if not (saved is None or _is_names(saved)):
        message = "modules_to_save must be a list of module names."
        problems.append(error("bad_modules_to_save", "modules_to_save", message, "Write null if there are none."))
    return problems


def _check_flags(raw: dict[str, Any], place: str) -> list[Problem]:
    problems = []
    for key in ("use_rslora", "use_dora", "lora_bias", "fan_in_fan_out", "use_qalora"):
        if not isinstance(raw.get(key, False), bool):
            problems.append(error("bad_flag", key, f"{key} must be true or false.", "Correct the value."))
    if raw.get("bias", "none") not in ("none", "all", "lora_only"):
        message = f"bias is {str(raw.get('bias'))[:40]}; it must be none, all or lora_only."
        problems.append(error("bad_flag", "bias", message, "Correct the value."))
    for key in ("task_type", "base_model_name_or_path", "revision", "peft_version"):
        value = raw.get(key)
        if value is not None and (not isinstance(value, str) or len(value) > 1000):
            problems.append(error("bad_text", key, f"{key} must be a text of at most 1000 characters.", "Correct it."))
    init = raw.get("init_lora_weights", True)
    if isinstance(init, str) and MUTATING_INITS.match(init.lower()):
        message = f"init_lora_weights is {init}: loading this adapter changes the base's own weights first."
        remedy = "Convert it with PEFT's save_pretrained(path_initial_model_for_weight_conversion=…) to plain LoRA."
        problems.append(warning("mutated_base", "init_lora_weights", message, remedy))
    return problems


def _note_unknown(raw: dict[str, Any], place: str) -> list[Problem]:
    unknown = sorted(key[:80] for key in raw if key not in KNOWN_KEYS)
    if not unknown:
        return []
    shown = ", ".join(unknown[:12]) + (f" and {len(unknown) - 12} more" if len(unknown) > 12 else "")
    return [note("unknown_config_keys", place, f"Keys that this version does not know are kept: {shown}.")]


def _build(raw: dict[str, Any]) -> AdapterConfig:
    target = raw.get("target_modules")
    return AdapterConfig(
        raw=raw,
        rank=raw.get("r", 8),
        alpha=float(raw.get("lora_alpha", 8)),
        use_rslora=raw.get("use_rslora", False),
        use_dora=raw.get("use_dora", False),
        lora_bias=raw.get("lora_bias", False),
        fan_in_fan_out=raw.get("fan_in_fan_out", False),
        bias=raw.get("bias", "none"),
        task_type=raw.get("task_type") or "",
        base_model_name=raw.get("base_model_name_or_path") or "",
        revision=raw.get("revision") or "",
        peft_version=raw.get("peft_version") or "",
        target_modules=tuple(target) if isinstance(target, list) else target,
        modules_to_save=tuple(raw.get("modules_to_save") or ()),
        rank_pattern=dict(raw.get("rank_pattern") or {}),
        alpha_pattern={key: float(value) for key, value in (raw.get("alpha_pattern") or {}).items()},
        features=_features(raw),
    )


def _features(raw: dict[str, Any]) -> tuple[str, ...]:
    features = [feature for key, feature in VARIANT_KEYS.items() if raw.get(key) not in (None, False, [], {})]
    if raw.get("use_rslora"):
        features.append("rslora")
    if raw.get("rank_pattern"):
        features.append("rank_pattern")
    if raw.get("alpha_pattern"):
        features.append("alpha_pattern")
    if raw.get("modules_to_save"):
        features.append("modules_to_save")
    if raw.get("bias", "none") != "none":
        features.append("bias")
    init = raw.get("init_lora_weights", True)
    if isinstance(init, str) and MUTATING_INITS.match(init.lower()):
        features.append("mutated_base")
    return tuple(features)
