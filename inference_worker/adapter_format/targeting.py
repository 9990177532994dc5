"""Which modules PEFT would adapt by a config: its rule for names, exclusions and layers.

The same as peft.tuners.tuners_utils.check_target_module_exists (0.21), with a time limit on every expression. A config
may list as many names as fit into its file, so names are looked up and not gone through.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator

from inference_worker.adapter_format.config import AdapterConfig
from inference_worker.adapter_format.patterns import PatternMatcher

#: PEFT's word for every linear layer but the output.
ALL_LINEAR = "all-linear"
#: Names that embedding and output matrices have.
EMBEDDINGS = re.compile(r"(.*\.)?(embed_tokens|lm_head|wte|word_embeddings|embed_in|embed_out|shared|tok_embeddings)")
_FIRST_INDEX = re.compile(r".*?\.[^.]*\.(?P<index>\d+)\.")


class Targets:
    """The modules that ``config`` means. Every question may raise ``PatternFault``."""

    def __init__(self, config: AdapterConfig, matcher: PatternMatcher) -> None:
        self._config = config
        self._matcher = matcher
        self._names = _names(config.target_modules)
        self._excluded = _names(config.exclude_modules)
        self._saved = frozenset(config.modules_to_save)

    def include(self, module: str) -> bool:
        """Whether PEFT adapts ``module``."""
        if self._excludes(module):
            return False
        if self._config.raw.get("ensure_weight_tying") and EMBEDDINGS.fullmatch(module):
            return True  # The other end of a tied pair is adapted along, whatever its name.
        target = self._config.target_modules
        if target is None or target == ALL_LINEAR:
            return True
        if isinstance(target, str):
            return self._matcher.full_match(target, module)
        if module in self._names:
            return True
        return not self._names.isdisjoint(tails(module)) and self._in_wanted_layers(module)

    def _excludes(self, module: str) -> bool:
        excluded = self._config.exclude_modules
        if isinstance(excluded, str) and self._matcher.full_match(excluded, module):
            return True
        if not self._excluded.isdisjoint(tails(module)):
            return True
        # A module that modules_to_save replaces, or one inside it.
        return bool(self._saved) and any(not self._saved.isdisjoint(tails(path)) for path in ancestors(module))

    def _in_wanted_layers(self, module: str) -> bool:
        wanted = self._config.raw.get("layers_to_transform")
        if wanted is None or wanted == []:
            return True
        index = self._layer_of(module)
        return index is not None and index in (wanted if isinstance(wanted, list) else [wanted])

    def _layer_of(self, module: str) -> int | None:
        """The number after the first name that ``layers_pattern`` allows."""
        patterns = self._config.raw.get("layers_pattern")
        if not patterns:
            found = _FIRST_INDEX.match(module)
            return None if found is None else int(found["index"])
        for pattern in [patterns] if isinstance(patterns, str) else patterns:
            digits = self._matcher.group(pattern, rf"(?:^|.*?\.){pattern}\.(?P<idx>\d+)\.", module, "idx")
            if digits is not None:
                return int(digits)
        return None


class Paths:
    """The paths of all modules that tensors belong to, asked by how they end."""

    def __init__(self, tensors: Iterable[str]) -> None:
        found = {path for name in tensors for path in ancestors(name.rpartition(".")[0])}
        self._reversed = sorted(path[::-1] for path in found)

    def any_ends_with(self, ending: str) -> bool:
        wanted = ending[::-1]
        place = bisect_left(self._reversed, wanted)
        return place < len(self._reversed) and self._reversed[place].startswith(wanted)


def _names(value: tuple[str, ...] | str | None) -> frozenset[str]:
    return frozenset(value) if isinstance(value, tuple) else frozenset()


def tails(module: str) -> Iterator[str]:
    """``a.b.c``, ``b.c`` and ``c``."""
    yield module
    while "." in module:
        module = module.partition(".")[2]
        yield module


def ancestors(module: str) -> Iterator[str]:
    """``a.b.c``, ``a.b`` and ``a``."""
    yield module
    while "." in module:
        module = module.rpartition(".")[0]
        yield module
