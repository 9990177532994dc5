"""PEFT's meaning of module patterns, safe against patterns that an attacker wrote.

``rank_pattern`` and ``alpha_pattern`` keys are regular expressions matched as ``(.*\\.)?(key)$``
(peft.utils.other.get_pattern_key); before PEFT 0.15 as ``.*\\.key$``, and the first match in both tables decided for
both. ``target_modules`` is either one expression for the full name or a list of suffixes. A hostile expression can
backtrack for ever, so anything beyond a plain name is matched with a time limit.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import regex

Value = TypeVar("Value")

#: Seconds that all the expressions of one file may take together.
BUDGET_SECONDS = 2.0
#: More patterns than this are not read the way that early versions of PEFT read them.
MOST_COMPARED = 1000
_PLAIN = regex.compile(r"\^?[A-Za-z0-9_\-]+(\\?\.[A-Za-z0-9_\-]+)*\$?")


class PatternFault(ValueError):
    """A pattern is not a regular expression, or takes too long. ``key`` is the pattern."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


class _Table:
    """Patterns sorted by how they are found: plain names by look-up, the rest one by one."""

    def __init__(self, patterns: Mapping[str, object]) -> None:
        self.keys = list(patterns)
        self.suffixes: dict[str, int] = {}
        self.whole: dict[str, int] = {}
        self.expressions: list[tuple[int, str]] = []
        for index, key in enumerate(patterns):
            # A dot in a pattern stands for any character; in names of modules only a dot can stand there.
            plain = key.replace("\\.", ".").removesuffix("$")
            if not _PLAIN.fullmatch(key):
                self.expressions.append((index, key))
            elif plain.startswith("^"):
                self.whole.setdefault(plain[1:], index)
            else:
                self.suffixes.setdefault(plain, index)

    def plain_match(self, module: str) -> int | None:
        """Index of the first plain pattern that matches."""
        parts = module.split(".")
        found = [self.whole[module]] if module in self.whole else []
        tails = (".".join(parts[start:]) for start in range(len(parts)))
        found += [self.suffixes[tail] for tail in tails if tail in self.suffixes]
        return min(found, default=None)


class PatternMatcher:
    """Matches the patterns of one file within one time budget."""

    def __init__(self, budget: float = BUDGET_SECONDS) -> None:
        self._left = budget
        self._tables: dict[int, tuple[object, _Table]] = {}  # by identity; the mapping is kept so that it stays unique

    def lookup(self, patterns: Mapping[str, Value], module: str, default: Value) -> Value:
        """The value of the first pattern that PEFT would take for ``module``. Raises ``PatternFault``."""
        if not patterns:
            return default
        if id(patterns) not in self._tables:
            self._tables[id(patterns)] = (patterns, _Table(patterns))
        table = self._tables[id(patterns)][1]
        plain = table.plain_match(module)
        for index, key in table.expressions:
            if plain is not None and index > plain:
                break
            if self._timed(key, rf"(.*\.)?({key})$", module):
                return patterns[key]
        return default if plain is None else patterns[table.keys[plain]]

    def lookup_before_0_15(
        self, ranks: Mapping[str, Value], alphas: Mapping[str, Value], module: str, defaults: tuple[Value, Value]
    ) -> tuple[Value, Value]:
        """Rank and alpha as PEFT 0.4 to 0.14 took them: the first key of both tables that matches decides for both."""
        if len(ranks) + len(alphas) > MOST_COMPARED:
            raise PatternFault("", "there are too many patterns to compare")
        for key in dict.fromkeys([*ranks, *alphas]):
            if self._timed(key, rf".*\.{key}$", module):
                return ranks.get(key, defaults[0]), alphas.get(key, defaults[1])
        return ranks.get(module, defaults[0]), alphas.get(module, defaults[1])

    def full_match(self, expression: str, module: str) -> bool:
        """Whether ``expression`` describes the whole of ``module``. Raises ``PatternFault``."""
        return self._timed(expression, expression, module)

    def group(self, key: str, expression: str, module: str, name: str) -> str | None:
        """What the group ``name`` holds where ``expression`` matches the start of ``module``. Raises ``PatternFault``.

        ``key`` is the part of the expression that came from the file.
        """
        found = self._run(key, regex.match, expression, module)
        return None if found is None else found[name]

    def _timed(self, key: str, expression: str, module: str) -> bool:
        return self._run(key, regex.fullmatch, expression, module) is not None

    def _run(self, key: str, match: Callable[..., Any], expression: str, module: str) -> Any:
        if len(key) > 2000:
            raise PatternFault(key[:60], "the pattern is longer than 2000 characters")
        if self._left <= 0:
            raise PatternFault(key, "the patterns take too long to match")
        started = time.monotonic()
        try:
            return match(expression, module, timeout=self._left)
        except TimeoutError as fault:
            raise PatternFault(key, "the pattern takes too long to match") from fault
        except regex.error as fault:
            raise PatternFault(key, f"not a regular expression ({fault})") from fault
        finally:
            self._left -= time.monotonic() - started
