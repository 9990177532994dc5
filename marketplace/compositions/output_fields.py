"""What people write about ranks, modules and layers, as the contracts have it, and back.

A rule for a rank is ``16``, ``same``, ``energy 0.95`` or ``inertia 0.9``. Groups are lines ``modules: value`` with the
selectors of ``module_selectors``: ``0-7: 0.5`` or ``mlp: energy 0.9``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from inference_worker.contracts.merge_output import EnergyRank, GroupWeight, InertiaRank, ModuleRank, RankRule
from marketplace.compositions.members import MAX_WEIGHT

SHARES = ("energy", "inertia")


def read_rule(text: str) -> int | str | dict[str, float]:
    """Raises ``ValueError`` with a sentence for people."""
    words = text.replace(",", ".").split()
    if len(words) == 1 and words[0].isascii() and words[0].isdigit() and len(words[0]) < 10:
        return int(words[0])
    if words == ["same"]:
        return "same"
    if len(words) == 2 and words[0] in SHARES:
        return {words[0]: read_number(words[1])}
    raise ValueError(f"“{text[:40]}” is no rank. Write a number, same, energy 0.95 or inertia 0.9.")


def write_number(value: float) -> str:
    """As short as it can be while it reads back as the same number."""
    return repr(float(value)).removesuffix(".0")


def write_rule(rule: RankRule | Mapping[str, float] | None) -> str:
    if isinstance(rule, EnergyRank | InertiaRank):
        rule = rule.model_dump()
    if isinstance(rule, Mapping):
        return " ".join(f"{name} {write_number(value)}" for name, value in rule.items())
    return "" if rule is None else str(rule)


def read_number(text: str) -> float:
    """Raises ``ValueError`` with a sentence for people."""
    try:
        number = float(text.replace(",", "."))
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"“{text[:40]}” is no number. Write one such as 0.5.")
    return number


def read_weight(text: str) -> float:
    """A weight, or a factor on one. Raises ``ValueError`` with a sentence for people."""
    number = read_number(text)
    if abs(number) > MAX_WEIGHT:
        raise ValueError(f"“{text[:40]}” is too large. Weights go from −{MAX_WEIGHT} to {MAX_WEIGHT}.")
    return number


def read_groups(text: str, value: Callable[[str], Any], key: str) -> list[dict[str, Any]]:
    """Lines (or parts between semicolons) ``modules: value``. Raises ``ValueError`` with a sentence for people."""
    groups = []
    for line in text.replace(";", "\n").splitlines():
        if not line.strip():
            continue
        modules, colon, words = line.partition(":")
        if not colon or not modules.strip() or not words.strip():
            raise ValueError(f"“{line.strip()[:60]}” is no group. Write modules, a colon and a value, as in 0-7: 0.5.")
        groups.append({"modules": modules.strip(), key: value(words.strip())})
    return groups


def write_layer_weights(groups: Iterable[GroupWeight]) -> str:
    return "; ".join(f"{group.modules}: {write_number(group.factor)}" for group in groups)


def write_ranks(ranks: Iterable[ModuleRank]) -> str:
    return "\n".join(f"{item.modules}: {write_rule(item.rank)}" for item in ranks)


def read_selectors(text: str) -> list[str]:
    """Selectors between blanks and commas."""
    return [part for part in text.replace(",", " ").split() if part]
