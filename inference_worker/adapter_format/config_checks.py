"""The checks of a config's table, one small function each: (table, limits) -> problems. None of them raises."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Any

from inference_worker.adapter_format.config_keys import INITS, KNOWN_KEYS, MUTATING_INITS, TASK_TYPES
from inference_worker.adapter_format.faults import error, note, warning
from inference_worker.adapter_format.names import CONFIG_NAME
from inference_worker.adapter_format.peft_types import check_type
from inference_worker.contracts.check_limits import Limits
from inference_worker.contracts.common import Problem

Table = dict[str, Any]

_FLAGS = ("use_rslora", "use_dora", "lora_bias", "fan_in_fan_out", "use_qalora", "ensure_weight_tying")
_TABLES = (
    *("arrow_config", "corda_config", "eva_config", "kasa_config", "loftq_config", "lora_ga_config"),
    *("monteclora_config", "runtime_config", "use_bdlora", "velora_config"),
)
_TEXTS = ("task_type", "base_model_name_or_path", "revision", "peft_version")


def _type(raw: Table, limits: Limits) -> list[Problem]:
    return check_type(raw.get("peft_type"))


def _merged_linear(raw: Table, limits: Limits) -> list[Problem]:
    """PEFT 0.2 wrote the key into every config; set, it means another layout of B."""
    if not raw.get("enable_lora"):
        return []
    message = "enable_lora is set: PEFT 0.2 adapted parts of a fused layer by grouped convolutions."
    return [error("merged_linear_refused", "enable_lora", message)]


def _code(raw: Table, limits: Limits) -> list[Problem]:
    """Nothing in a config may point at code outside transformers."""
    problems = []
    if raw.get("trust_remote_code"):
        message = "The config asks for trust_remote_code; adapters never run code here."
        problems.append(error("remote_code_refused", "trust_remote_code", message))
    if raw.get("megatron_config") is not None or raw.get("megatron_core") not in (None, "megatron.core"):
        message = "megatron_config is set: PEFT would import the module that megatron_core names."
        problems.append(error("remote_code_refused", "megatron_config", message, "Set both keys to null."))
    mapping = raw.get("auto_mapping")
    if mapping is None or _plain_mapping(mapping):
        return problems
    if str(mapping.get("parent_library") if isinstance(mapping, dict) else "").startswith("diffusers."):
        message = "auto_mapping names a class of diffusers: the adapter belongs to an image or video model."
        return [*problems, error("image_adapter", "auto_mapping", message)]
    message = "auto_mapping names code outside transformers, which loading the adapter would import."
    return [*problems, error("remote_code_refused", "auto_mapping", message, 'Set "auto_mapping": null.')]


def _plain_mapping(mapping: Any) -> bool:
    """A class of transformers; beside it only switches, as Unsloth's ``unsloth_fixed``."""
    if not isinstance(mapping, dict):
        return False
    library, name = mapping.get("parent_library"), mapping.get("base_model_class")
    named = isinstance(library, str) and re.fullmatch(r"transformers(\.[a-z0-9_]+)*", library) is not None
    named = named and isinstance(name, str) and name.isidentifier()
    rest = (value for key, value in mapping.items() if key not in ("parent_library", "base_model_class"))
    return named and all(value is None or isinstance(value, bool) for value in rest)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e9


def _numbers(raw: Table, limits: Limits) -> list[Problem]:
    problems = []
    if not _is_rank(raw.get("r", 8), limits):
        message = f"r is {str(raw.get('r'))[:40]}; it must be a whole number from 1 to {limits.rank}."
        problems.append(error("bad_rank", "r", message))
    if not _is_number(raw.get("lora_alpha", 8)):
        message = f"lora_alpha is {str(raw.get('lora_alpha'))[:40]}; it must be a number."
        problems.append(error("bad_alpha", "lora_alpha", message))
    dropout = raw.get("lora_dropout")
    if not (dropout is None or (_is_number(dropout) and 0 <= dropout <= 1)):
        message = f"lora_dropout is {str(dropout)[:40]}; it must be a number from 0 to 1."
        problems.append(error("bad_dropout", "lora_dropout", message))
    return problems


def _is_rank(value: Any, limits: Limits) -> bool:
    return type(value) is int and 1 <= value <= limits.rank


def _patterns(raw: Table, limits: Limits) -> list[Problem]:
    problems = []
    good: dict[str, Callable[[Any], bool]] = {
        "rank_pattern": lambda value: _is_rank(value, limits),
        "alpha_pattern": _is_number,
    }
    for key, fits in good.items():
        table = {} if raw.get(key) is None else raw[key]
        if not isinstance(table, dict) or not all(fits(value) for value in table.values()):
            message = f"{key} must map module names to numbers."
            problems.append(error("bad_pattern", key, message, "Write {} if the adapter has no such exceptions."))
    return problems


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) and len(item) <= 500 for item in value)


def _is_integers(value: Any) -> bool:
    return isinstance(value, list) and all(type(item) is int and 0 <= item < 2**31 for item in value)


def _lists(raw: Table, limits: Limits) -> list[Problem]:
    problems = []
    for key in ("target_modules", "exclude_modules"):
        value = raw.get(key)
        if not (value is None or isinstance(value, str) or _is_names(value)):
            problems.append(error("bad_target_modules", key, f"{key} must be a list of module names or one pattern."))
    saved = raw.get("modules_to_save")
    if not (saved is None or _is_names(saved)):
        message = "modules_to_save must be a list of module names."
        problems.append(error("bad_modules_to_save", "modules_to_save", message))
    tokens = raw.get("trainable_token_indices")
    tables = list(tokens.values()) if isinstance(tokens, dict) else [tokens]
    if not (tokens is None or all(map(_is_integers, tables))):
        message = "trainable_token_indices must be a list of token ids, or such lists by module."
        problems.append(error("bad_tokens", "trainable_token_indices", message))
    return problems


def _layers(raw: Table, limits: Limits) -> list[Problem]:
    wanted, pattern, copies = (raw.get(key) for key in ("layers_to_transform", "layers_pattern", "layer_replication"))
    good = {
        "layers_to_transform": wanted is None or _is_integers(wanted) or _is_integers([wanted]),
        # PEFT refuses the pattern without the layers.
        "layers_pattern": not pattern or (wanted is not None and (isinstance(pattern, str) or _is_names(pattern))),
        "layer_replication": copies is None
        or (isinstance(copies, list) and all(_is_integers(pair) and len(pair) == 2 for pair in copies)),
    }
    message = "{} has another form than PEFT's: numbers of layers, names of layer lists, pairs of first and last layer."
    return [error("bad_layers", key, message.format(key)) for key, fits in good.items() if not fits]


def _flags(raw: Table, limits: Limits) -> list[Problem]:
    problems = []
    for key in _FLAGS:
        if not isinstance(raw.get(key), (bool, type(None))):
            problems.append(error("bad_flag", key, f"{key} must be true or false."))
    if raw.get("bias") not in (None, "none", "all", "lora_only"):
        message = f"bias is {str(raw.get('bias'))[:40]}; it must be none, all or lora_only."
        problems.append(error("bad_flag", "bias", message))
    for key in _TABLES:
        if not isinstance(raw.get(key), (dict, type(None))):
            problems.append(error("bad_flag", key, f"{key} must be a table or null.", 'Write "null".'))
    for key in _TEXTS:
        value = raw.get(key)
        if value is not None and (not isinstance(value, str) or len(value) > 1000):
            problems.append(error("bad_text", key, f"{key} must be a text of at most 1000 characters."))
    return problems


def _task(raw: Table, limits: Limits) -> list[Problem]:
    task = raw.get("task_type")
    if not isinstance(task, str) or not task or task in TASK_TYPES:
        return []
    message = f"task_type is {task[:60]}, which PEFT does not know; it refuses to load such a config."
    return [warning("unknown_task_type", "task_type", message)]


def _init(raw: Table, limits: Limits) -> list[Problem]:
    """Initialisations that PEFT does not know, or not together with lora_bias, end its loading."""
    init = raw.get("init_lora_weights")
    known = isinstance(init, str) and INITS.fullmatch(init.lower())
    if init is None or isinstance(init, bool) or (known and not raw.get("lora_bias")):
        return []
    message = f"init_lora_weights is {str(init)[:40]}, with which PEFT does not load the adapter."
    return [
        error("bad_flag", "init_lora_weights", message, 'Set "init_lora_weights": true; it matters before training.')
    ]


def _mutating_init(raw: Table, limits: Limits) -> list[Problem]:
    init = raw.get("init_lora_weights", True)
    if not (isinstance(init, str) and MUTATING_INITS.match(init.lower())):
        return []
    message = f"init_lora_weights is {init}: loading this adapter changes the base's own weights first."
    return [warning("mutated_base", "init_lora_weights", message)]


def _nulls(raw: Table, limits: Limits) -> list[Problem]:
    """Null is read as PEFT's default, which PEFT itself does not always do (peft.LoraConfig 0.21)."""
    problems = []
    if raw.get("target_modules") is None:
        message = (
            "target_modules is null or left out: PEFT guesses the modules by the base's architecture and silently "
        )
        message += "drops the tensors of others."
        problems.append(warning("targets_left_open", "target_modules", message))
    for key, plain in (("bias", '"none"'), ("rank_pattern", "{}"), ("alpha_pattern", "{}")):
        if key in raw and raw[key] is None:
            message = f"{key} is null: PEFT 0.21 cannot load this as it is; merges and exports here write it right."
            problems.append(warning("null_not_loaded", key, message, f'Set "{key}": {plain}.'))
    return problems


def _duplicates(raw: Table, limits: Limits) -> list[Problem]:
    problems = []
    for key in ("target_modules", "exclude_modules", "modules_to_save"):
        value = raw.get(key)
        names: list[str] = value if isinstance(value, list) and _is_names(value) else []
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice:
            message = f"{key} names {', '.join(twice[:5])} more than once; it counts once."
            problems.append(note("duplicate_entries", key, message))
    return problems


def _unknown(raw: Table, limits: Limits) -> list[Problem]:
    unknown = sorted(key[:80] for key in raw if key not in KNOWN_KEYS)
    if not unknown:
        return []
    shown = ", ".join(unknown[:12]) + (f" and {len(unknown) - 12} more" if len(unknown) > 12 else "")
    return [note("unknown_config_keys", CONFIG_NAME, f"Keys that this version does not know are kept: {shown}.")]


#: In this order their problems are listed.
CHECKS: tuple[Callable[[Table, Limits], list[Problem]], ...] = (
    _type,
    _merged_linear,
    _code,
    _numbers,
    _patterns,
    _lists,
    _layers,
    _flags,
    _task,
    _init,
    _mutating_init,
    _nulls,
    _duplicates,
    _unknown,
)
