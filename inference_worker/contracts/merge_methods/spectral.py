"""Methods that work on directions: on spheres, in singular vectors, in shared coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from inference_worker.contracts.common import Contract
from inference_worker.contracts.merge_methods.info import MergeMethodInfo
from inference_worker.contracts.merge_methods.rules import MemberFacts, Refusal, bias_in_step, biased, refused_bias
from inference_worker.contracts.merge_methods.trimming import TRIM_WORDS, Trim


class SlerpOptions(Contract):
    t: float = Field(default=0.5, ge=0.0, le=1.0, description="Where between the first adapter (0) and the second (1).")
    norms: Literal["mergekit", "linear"] = Field(
        default="mergekit",
        description="mergekit: the angle's factors on the updates as they are. linear: turn the direction at constant "
        "speed and move the size in a straight line.",
    )


class KarcherOptions(Contract):
    iterations: int = Field(default=100, ge=1, le=1000, description="Most steps; it stops when it stands still.")


class CoordinateOptions(Contract):
    """For methods that bring the adapters into shared coordinates and merge the numbers there."""

    merge: Literal["ties", "dare_ties", "dare_linear", "sum"] = Field(
        default="ties", description="What happens in the shared coordinates. sum gives the exact weighted sum."
    )
    density: float = Field(
        default=0.3, gt=0.0, le=1.0, description="Share of numbers that ties or dare keep of each adapter."
    )
    trim: Trim = Field(default="module", description=f"For ties. {TRIM_WORDS}")
    isotropic: bool = Field(
        default=False, description="Bring all directions of the result to one strength afterwards, as in Iso-C."
    )


class CoreSpaceOptions(CoordinateOptions):
    basis: Literal["factors", "updates"] = Field(
        default="factors",
        description="Where the shared directions come from: the stacked factors, as in the paper, or the updates, "
        "which does not depend on how an update is split into its factors.",
    )


class IsoCOptions(Contract):
    mean: Literal["kept", "span"] = Field(
        default="kept",
        description="What the one strength is the mean of. kept: the directions that the rank keeps, so that a smaller "
        "rank means stronger ones. span: all directions that the sum has, the same whatever the rank.",
    )


class IsoCtsOptions(Contract):
    common: float = Field(
        default=0.8,
        ge=0.0,
        le=1.0,
        description="Share of the rank for the sum; the adapters split the rest.",
    )


class TsvMOptions(Contract):
    keep: float = Field(
        default=0.0,
        ge=0.0,
        le=1.0,
        description="Share of each adapter's singular directions to keep. 0: one over the number of adapters.",
    )


def two_adapters(members: Sequence[MemberFacts], options: Any) -> Refusal | None:
    """For interpolation between exactly two."""
    if len(members) != 2:
        return Refusal("wrong_count", f"takes exactly two adapters whose weight is not 0, not {len(members)}")
    return update_is_all(members, options)


def update_is_all(members: Sequence[MemberFacts], options: Any) -> Refusal | None:
    """For methods whose result is no sum, so that nothing says what becomes of the biases of the updates."""
    member = biased(members)
    if member is None:
        return None
    if len(members) == 1:
        return bias_in_step(member, options, shares=_has_shares(options))
    words = f"is no sum, so the bias of the update that {member.label} has (lora_bias) has no place in it"
    return refused_bias(member, words)


def _has_shares(options: Any) -> bool:
    """Whether only ratios of weights count: in means on the sphere, and where agreeing adapters' weights divide."""
    divides = getattr(options, "average", "") == "weight" and getattr(options, "elect_signs", True)
    return divides or isinstance(options, KarcherOptions)


def one_strength(members: Sequence[MemberFacts], options: Any) -> Refusal | None:
    """For methods that give all directions one strength, always or by ``isotropic``."""
    dora = next((member for member in members if "dora" in member.features), None)
    if dora is not None and getattr(options, "isotropic", True):
        words = (
            f"brings all directions to one strength, which the magnitudes of {dora.label} (DoRA) do not fit any more"
        )
        return Refusal("refused_dora", words, {"adapter": dora.label})
    return update_is_all(members, options)


def weights_are_shares(members: Sequence[MemberFacts], options: Any) -> list[str]:
    """For means, where twice the weights do not give twice the result."""
    total = sum(abs(member.weight) for member in members)
    if total in (1.0, len(members)):
        return []
    return [f"The weights are shares: divided by their total of {total:g}, the result keeps the adapters' mean size."]


def strengths_change(members: Sequence[MemberFacts], options: Any) -> list[str]:
    """For methods that even out strengths, whatever they get."""
    if len(members) > 1:
        return []
    return ["A single adapter does not come back as it is: all its directions get one strength."]


def few_directions(members: Sequence[MemberFacts], options: TsvMOptions) -> list[str]:
    """Where the share of the directions that is kept is a single one."""
    share = options.keep or 1.0 / len(members)
    ranks = {member.label: max(member.ranks.values(), default=0) for member in members}
    poor = [label for label, rank in ranks.items() if rank > 1 and rank * share < 2.0]
    if not poor:
        return []
    return [f"One direction per module is kept of {', '.join(poor)}; a larger keep keeps more."]


def _info(
    name: str, title: str, explanation: str, paper: str, options: type[Contract], **rules: Any
) -> MergeMethodInfo:
    rules.setdefault("refuse", update_is_all)
    return MergeMethodInfo(name, title, explanation, paper, exact=False, rank="choose", options=options, **rules)


SPECTRAL = (
    _info(
        "knots",
        "KnOTS",
        "Finds directions that all adapters share, then settles conflicts among the numbers there by TIES or DARE, "
        "where adapters are far more alike than in their raw weights.",
        "Stoica et al., arXiv 2410.19735",
        CoordinateOptions,
        refuse=one_strength,
    ),
    _info(
        "core_space",
        "Core space",
        "As KnOTS, but in a small square of coordinates for inputs and outputs at once, which loses nothing and is "
        "quicker.",
        "Panariello et al., arXiv 2509.17786",
        CoreSpaceOptions,
        refuse=one_strength,
    ),
    _info(
        "tsv_m",
        "Task singular vectors",
        "Keeps each adapter's strongest directions and turns those of different adapters at right angles to each "
        "other, so that they disturb each other least.",
        "Gargiulo et al., arXiv 2412.00081",
        TsvMOptions,
        warn=few_directions,
    ),
    _info(
        "iso_c",
        "Isotropic sum",
        "The weighted sum with all its directions brought to one strength, so that what few adapters do is not drowned "
        "by what many do.",
        "Marczak et al., arXiv 2502.04959",
        IsoCOptions,
        warn=strengths_change,
        refuse=one_strength,
    ),
    _info(
        "iso_cts",
        "Isotropic sum with own directions",
        "As the isotropic sum, but part of the rank is kept for what single adapters have and the sum lacks.",
        "Marczak et al., arXiv 2502.04959",
        IsoCtsOptions,
        warn=strengths_change,
        refuse=one_strength,
    ),
    _info(
        "karcher",
        "Spherical mean",
        "The mean of the adapters' directions on the sphere, at the mean of their sizes. Weights are shares: only "
        "their ratios count.",
        "Karcher, 1977; mergekit",
        KarcherOptions,
        warn=weights_are_shares,
    ),
    _info(
        "slerp",
        "Spherical interpolation",
        "From one adapter to another along the sphere instead of through its inside, so that the result does not "
        "shrink on the way. Exactly two adapters.",
        "Shoemake, 1985; mergekit",
        SlerpOptions,
        refuse=two_adapters,
    ),
)
