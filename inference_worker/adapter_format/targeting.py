"""Which modules PEFT would adapt by a config: its rule for names, exclusions and layers.

The same as peft.tuners.tuners_utils.check_target_module_exists (0.21), with a time limit on every expression.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from inference_worker.adapter_format.config import AdapterConfig
from inference_worker.adapter_format.patterns import PatternMatcher, matches_list

#: PEFT's word for every linear layer but the output.
ALL_LINEAR = "all-linear"
#: Names that embedding and output matrices have.
EMBEDDINGS = re.compile(r"(.*\.)?(embed_tokens|lm_head|wte|word_embeddings|embed_in|embed_out|shared|tok_embeddings)")
_FIRST_INDEX = re.compile(r".*?\.[^.]*\.(?P<index>\d+)\.")


def is_targeted(config: AdapterConfig, module: str, matcher: PatternMatcher) -> bool:
    """Whether PEFT adapts ``module``. Raises ``PatternFault``."""
    if _excluded(config, module, matcher):
        return False
    if config.raw.get("ensure_weight_tying") and EMBEDDINGS.fullmatch(module):
        return True  # The other end of a tied pair is adapted along, whatever its name.
    target = config.target_modules
    if target is None or target == ALL_LINEAR:
        return True
    if isinstance(target, str):
        return matcher.full_match(target, module)
    if module in target:
        return True
    return matches_list(target, module) and _in_wanted_layers(config, module, matcher)


def _excluded(config: AdapterConfig, module: str, matcher: PatternMatcher) -> bool:
    excluded = config.exclude_modules
    if isinstance(excluded, str) and matcher.full_match(excluded, module):
        return True
    if isinstance(excluded, tuple) and matches_list(excluded, module):
        return True
    return replaced(config.modules_to_save, module)


def replaced(saved: Iterable[str], module: str) -> bool:
    """Whether ``module`` is, or lies inside, a module that ``modules_to_save`` names."""
    return any(f".{name}." in f".{module}." for name in saved)


def _in_wanted_layers(config: AdapterConfig, module: str, matcher: PatternMatcher) -> bool:
    wanted = config.raw.get("layers_to_transform")
    if wanted is None or wanted == []:
        return True
    index = _layer_of(config, module, matcher)
    return index is not None and index in (wanted if isinstance(wanted, list) else [wanted])


def _layer_of(config: AdapterConfig, module: str, matcher: PatternMatcher) -> int | None:
    """The number after the first name that ``layers_pattern`` allows."""
    patterns = config.raw.get("layers_pattern")
    if not patterns:
        found = _FIRST_INDEX.match(module)
        return None if found is None else int(found["index"])
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        digits = matcher.group(pattern, rf"(?:^|.*?\.){pattern}\.(?P<idx>\d+)\.", module, "idx")
        if digits is not None:
            return int(digits)
    return None
