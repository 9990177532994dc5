"""What a merge puts out: rank, type, rotation, modules; and weights by group of layers. Free of torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from inference_worker.contracts.common import Contract
from inference_worker.contracts.module_selectors import Selector, selects

OutputDtype = Literal["bfloat16", "float16", "float32", "same"]

MOST_RANK = 4096
#: Weights and factors lie between minus and plus this.
MOST_WEIGHT = 1e6
#: Most groups of one kind: every layer of a large model may have its own.
MOST_GROUPS = 1024


class EnergyRank(Contract):
    """Per module the smallest rank that keeps this share of the squared singular values of the method's result."""

    energy: float = Field(gt=0.0, le=1.0, allow_inf_nan=False)


class InertiaRank(Contract):
    """LoRA-LEGO only: per module the smallest number of clusters that keeps this share of the units' squared size."""

    inertia: float = Field(gt=0.0, le=1.0, allow_inf_nan=False)


#: A number, ``same`` (per module the largest rank of its parents), or a share to keep.
RankRule = Annotated[int, Field(ge=1, le=MOST_RANK, strict=True)] | Literal["same"] | EnergyRank | InertiaRank


class ModuleRank(Contract):
    """The rank of a group of modules."""

    modules: Selector
    rank: RankRule


class MergeOutput(Contract):
    """``rank`` None leaves the choice to the method: the sum of the ranks for ``cat``, the common rank for ``linear``,
    the largest of the parents where a rank can be chosen. A method whose result has a larger rank than wished is cut
    to it with the least possible error. ``ranks`` are exceptions; the first that fits a module counts.

    ``rotate`` brings every module into the form that follows from its Δ alone and turns its rank space at random, so
    that nothing but Δ can be read off the factors. ``include`` and ``exclude`` choose modules; what is left out is
    not adapted by the result.
    """

    rank: RankRule | None = None
    ranks: tuple[ModuleRank, ...] = Field(default=(), max_length=MOST_GROUPS)
    dtype: OutputDtype = "same"
    rotate: bool = False
    include: tuple[Selector, ...] = Field(default=(), max_length=MOST_GROUPS)
    exclude: tuple[Selector, ...] = Field(default=(), max_length=MOST_GROUPS)

    def rank_of(self, module: str) -> RankRule | None:
        """The rule for the module with this dotted name."""
        fitting = (item.rank for item in self.ranks if selects(item.modules, module))
        return next(fitting, self.rank)


#: Everything as the method has it.
PLAIN_OUTPUT = MergeOutput()


#: How much of an adapter goes in; negative ones subtract.
Weight = Annotated[float, Field(ge=-MOST_WEIGHT, le=MOST_WEIGHT, allow_inf_nan=False)]


class GroupWeight(Contract):
    """A factor on an adapter's weight within a group of modules; negative ones subtract, 0 leaves the group out."""

    modules: Selector
    factor: Weight


#: One adapter's factors by group; the first group that fits a module counts, and 1 where none does.
MemberWeights = Annotated[tuple[GroupWeight, ...], Field(max_length=MOST_GROUPS)]


def factor_of(groups: MemberWeights, module: str) -> float:
    """The factor on an adapter's weight for the module with this dotted name."""
    return next((group.factor for group in groups if selects(group.modules, module)), 1.0)


def rank_from_text(text: str) -> RankRule | None:
    """What people type: ``8``, ``same``, ``energy:0.95``, ``inertia:0.9``; nothing leaves the choice to the method.

    Raises ``ValueError`` with a sentence.
    """
    word, _, share = text.strip().partition(":")
    try:
        if not word:
            return None
        if word == "same" and not share:
            return "same"
        if word == "energy":
            return EnergyRank(energy=float(share))
        if word == "inertia":
            return InertiaRank(inertia=float(share))
        if not share and 1 <= int(word) <= MOST_RANK:
            return int(word)
    except ValueError:
        pass
    raise ValueError(
        f"“{text}” is no rank: write a number from 1 to {MOST_RANK:,}, same, energy:0.95 or, for LoRA-LEGO, inertia:0.9"
    )


def rank_to_text(rank: RankRule | None) -> str:
    """The inverse of ``rank_from_text``."""
    if isinstance(rank, EnergyRank):
        return f"energy:{rank.energy:g}"
    if isinstance(rank, InertiaRank):
        return f"inertia:{rank.inertia:g}"
    return "" if rank is None else str(rank)


def groups_from_text(text: str) -> tuple[tuple[str, str], ...]:
    """``0-15:1.0,16-31:0.5`` as pairs of a selector and what is said of it; also ranks of groups are written so.

    Raises ``ValueError`` with a sentence.
    """
    pairs = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        selector, separator, value = part.partition(":")
        if not separator or not value:
            raise ValueError(f"“{part}” is no group and value: write something like 0-15:1.0,16-31:0.5")
        pairs.append((selector, value))
    return tuple(pairs)


def member_weights_from_text(text: str) -> MemberWeights:
    """``0-15:1.0,q_proj:-0.5`` as factors by group. Raises ``ValueError`` with a sentence."""
    return tuple(GroupWeight(modules=selector, factor=float(value)) for selector, value in groups_from_text(text))


def ranks_from_text(text: str) -> tuple[ModuleRank, ...]:
    """``q_proj:8,mlp:energy:0.9`` as ranks by group. Raises ``ValueError`` with a sentence."""
    ranks = []
    for selector, value in groups_from_text(text):
        rank = rank_from_text(value)
        if rank is not None:
            ranks.append(ModuleRank(modules=selector, rank=rank))
    return tuple(ranks)
