"""What a method asks of the adapters that it merges: one answer for the worker and for the marketplace.

The worker fills ``MemberFacts`` from headers and configs, the marketplace from what the inspection stored. A rule gets
the members that take part and the method's parsed options; its words continue a sentence that begins with the
method's name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from inference_worker.contracts.merge_limits import ALONE


@dataclass(frozen=True)
class MemberFacts:
    """One adapter that takes part. ``ranks`` maps module names to ranks; ``features`` are the inspection's names for
    what goes beyond plain factors. ``weights`` are the weights in single modules, where these have their own."""

    label: str
    weight: float = 1.0
    ranks: Mapping[str, int] = field(default_factory=dict)
    features: frozenset[str] = frozenset()
    weights: Mapping[str, float] = field(default_factory=dict)

    @property
    def all_weights(self) -> frozenset[float]:
        """Every weight that it has anywhere."""
        return frozenset((self.weight, *self.weights.values()))


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


def carried_as_it_is(members: Sequence[MemberFacts], options: Any) -> Refusal | None:
    """For what passes through alone and at weight 1 only (``merge_limits.ALONE``): no method may scale its update."""
    factor = getattr(options, "scaling", 1.0)
    for member in members:
        feature = next((feature for feature in ALONE if feature in member.features), None)
        if feature is not None and (factor != 1.0 or member.all_weights != {1.0}):
            words = f"scales the update of {member.label}, which can only be carried through at weight 1 and scaling 1"
            return Refusal(f"refused_{feature}", f"{words}: {ALONE[feature]}", {"adapter": member.label})
    return None


def biased(members: Sequence[MemberFacts]) -> MemberFacts | None:
    """The first with biases of its updates."""
    return next((member for member in members if "lora_bias" in member.features), None)


def refused_bias(member: MemberFacts, words: str) -> Refusal:
    return Refusal("refused_lora_bias", words, {"adapter": member.label})


def bias_in_step(member: MemberFacts, options: Any, shares: bool = False) -> Refusal | None:
    """For methods that take biases of updates from a single adapter: Σ wᵢ·sᵢ·biasᵢ has to scale as the update does.

    ``shares``: the method uses ratios of weights, so that a single adapter's is nothing but a sign.
    """
    if getattr(options, "scaling", 1.0) != 1.0:
        words = f"scales the result, but not the bias of the update that {member.label} has (lora_bias)"
        return refused_bias(member, f"{words}; put λ into the weights")
    if shares and any(abs(weight) != 1.0 for weight in member.all_weights):
        words = f"divides weights out of the update, but not out of the bias that {member.label} has (lora_bias)"
        return refused_bias(member, f"{words}; leave its weight at 1")
    return None


def no_update_bias(members: Sequence[MemberFacts], options: Any) -> Refusal | None:
    """For methods that take adapters apart into rank-one units."""
    member = biased(members)
    if member is None:
        return None
    if len(members) == 1:
        return bias_in_step(member, options, shares=options.adapter_weights == "sample")
    words = f"clusters rank-one units, which the bias of the update that {member.label} has (lora_bias) is not"
    return refused_bias(member, words)
