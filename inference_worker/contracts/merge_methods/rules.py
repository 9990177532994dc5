"""What a method asks of the adapters that it merges: one answer for the worker and for the marketplace.

The worker fills ``MemberFacts`` from headers and configs, the marketplace from what the inspection stored. A rule gets
the members that take part and the method's parsed options; its words continue a sentence that begins with the
method's name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class MemberFacts:
    """One adapter that takes part. ``ranks`` maps module names to ranks; ``features`` are the inspection's names for
    what goes beyond plain factors."""

    label: str
    weight: float = 1.0
    ranks: Mapping[str, int] = field(default_factory=dict)
    features: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Refusal:
    """Why a method cannot merge these members. ``words`` follow the method's name, as in "adds factors of …"."""

    code: str
    words: str
    extra: dict[str, Any] = field(default_factory=dict)


RefusalRule = Callable[[Sequence[MemberFacts], Any], Refusal | None]
#: Whole sentences about what the method will not do as one might expect.
CaveatRule = Callable[[Sequence[MemberFacts], Any], list[str]]


def takes_all(members: Sequence[MemberFacts], options: Any) -> Refusal | None:
    """For methods that ask for nothing."""
    return None


def no_caveats(members: Sequence[MemberFacts], options: Any) -> list[str]:
    """For methods that always do what they say."""
    return []


def equal_ranks(members: Sequence[MemberFacts], options: Any) -> Refusal | None:
    """For methods that add factors position by position."""
    seen: dict[str, tuple[str, int]] = {}
    for member in members:
        for module, rank in member.ranks.items():
            first, expected = seen.setdefault(module, (member.label, rank))
            if rank != expected:
                words = (
                    f"adds factors of equal rank, but {module} has rank {expected} in {first} and {rank} in "
                    f"{member.label}; svd, cat and lego take any ranks"
                )
                return Refusal("rank_mismatch", words, {"module": module})
    return None


def no_update_bias(members: Sequence[MemberFacts], options: Any) -> Refusal | None:
    """For methods that take adapters apart into rank-one units."""
    biased = next((member for member in members if "lora_bias" in member.features), None)
    if biased is None or len(members) == 1:
        return None
    words = f"clusters rank-one units, which the bias of the update that {biased.label} has (lora_bias) is not"
    return Refusal("refused_lora_bias", words, {"adapter": biased.label})
