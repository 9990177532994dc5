"""Methods that decide entry by entry what to keep of each adapter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field, model_validator

from inference_worker.contracts.common import Contract
from inference_worker.contracts.merge_methods.info import MergeMethodInfo
from inference_worker.contracts.merge_methods.rules import MemberFacts, Refusal, bias_in_step, biased, equal_ranks
from inference_worker.contracts.merge_methods.spectral import update_is_all
from inference_worker.contracts.merge_methods.trimming import TRIM_WORDS, Trim

Space = Literal["dense", "core", "factor"]
_SPACES = (
    "Where entries are compared. dense: in the change of the weights itself, as the papers mean it. core: in a small "
    "core of it, much faster, with other entries. factor: in A and B separately, as PEFT does; all ranks must be equal."
)


class TaskArithmeticOptions(Contract):
    scaling: float = Field(
        default=1.0, ge=-10.0, le=10.0, description="λ, a factor on the whole sum; negative unlearns it."
    )


class SpaceOptions(Contract):
    """What all elementwise methods have."""

    space: Space = Field(default="dense", description=_SPACES)
    scaling: float = Field(default=1.0, ge=0.0, le=10.0, description="λ, a factor on the result.")


class _Density(SpaceOptions):
    density: float = Field(default=0.5, ge=0.001, le=1.0, description="Share of each adapter's entries that is kept.")


class _Signs(Contract):
    majority: Literal["total", "frequency"] = Field(
        default="total", description="Whose sign wins an entry: the larger total, or the greater number of adapters."
    )
    average: Literal["count", "weight", "sum"] = Field(
        default="count",
        description="What the sum over agreeing adapters is divided by: their number (the paper, PEFT), the sum of "
        "their weights' sizes (mergekit's TIES and DELLA), or nothing (mergekit's other methods).",
    )


class _OptionalSigns(_Signs):
    elect_signs: bool = Field(default=False, description="Let only adapters of the winning sign into each entry.")


class _Random(_Density):
    rescale: Literal["probability", "l1"] = Field(
        default="probability",
        description="How what is kept makes up for what is dropped: divided by its own probability (the paper, PEFT), "
        "or brought back to the former sum of sizes (mergekit).",
    )


class TiesOptions(_Signs, _Density):
    trim: Trim = Field(default="model", description=TRIM_WORDS)


class MagnitudePruneOptions(_Density):
    trim: Trim = Field(default="module", description=TRIM_WORDS)


class DareLinearOptions(_Random):
    pass


class DareTiesOptions(_Signs, _Random):
    pass


class DellaOptions(_OptionalSigns, _Random):
    epsilon: float = Field(
        default=0.3,
        ge=0.0,
        le=1.0,
        description="Width of the range of probabilities around the density: the largest entry of a row is kept with "
        "density + epsilon/2, the smallest with density - epsilon/2. Twice mergekit's epsilon.",
    )
    elect_signs: bool = Field(default=True, description="Let only adapters of the winning sign into each entry.")

    @model_validator(mode="after")
    def _probabilities(self) -> DellaOptions:
        if self.density < 1.0 and not self.epsilon / 2 < self.density <= 1.0 - self.epsilon / 2:
            raise ValueError("density - epsilon/2 must be above 0 and density + epsilon/2 at most 1")
        return self


class BreadcrumbsOptions(_OptionalSigns, _Density):
    gamma: float = Field(
        default=0.01,
        ge=0.0,
        le=1.0,
        description="Share of the largest entries that is dropped as outliers before the smallest are.",
    )


class SceOptions(SpaceOptions):
    space: Space = Field(default="core", description=_SPACES)
    select: float = Field(
        default=0.5, ge=0.001, le=1.0, description="Share of entries kept: those in which the adapters differ most."
    )


def fits_elementwise(members: Sequence[MemberFacts], options: SpaceOptions) -> Refusal | None:
    """Factors are compared position by position, updates and cores are not; biases of updates have no place."""
    ranks = equal_ranks(members, options) if options.space == "factor" else None
    return ranks or update_is_all(members, options)


def unscaled_biases(members: Sequence[MemberFacts], options: TaskArithmeticOptions) -> Refusal | None:
    """Biases of updates are added up as they are, so a factor on the sum would miss them."""
    member = biased(members)
    return None if member is None else bias_in_step(member, options)


def _method(name: str, title: str, explanation: str, paper: str, options: type[SpaceOptions]) -> MergeMethodInfo:
    return MergeMethodInfo(name, title, explanation, paper, False, "choose", options, fits_elementwise)


ELEMENTWISE = (
    MergeMethodInfo(
        name="task_arithmetic",
        title="Task arithmetic",
        explanation="The weighted sum of the adapters times one factor, cut to the rank you choose with the least "
        "possible error. A negative factor takes away what the adapters have learned.",
        paper="Ilharco et al., ICLR 2023, arXiv 2212.04089",
        exact=True,
        rank="choose",
        options=TaskArithmeticOptions,
        refuse=unscaled_biases,
    ),
    _method(
        "ties",
        "TIES",
        "Keeps the largest entries of each adapter, lets the adapters vote on the sign of every entry, and averages "
        "those that agree with the winner.",
        "Yadav et al., NeurIPS 2023, arXiv 2306.01708",
        TiesOptions,
    ),
    _method(
        "dare_linear",
        "DARE",
        "Drops entries of each adapter at random, makes the others larger to make up for it, and adds up.",
        "Yu et al., ICML 2024, arXiv 2311.03099",
        DareLinearOptions,
    ),
    _method(
        "dare_ties",
        "DARE with TIES",
        "Drops entries of each adapter at random, makes the others larger, and averages those that agree with the "
        "winning sign.",
        "Yu et al., ICML 2024, arXiv 2311.03099",
        DareTiesOptions,
    ),
    _method(
        "magnitude_prune",
        "Magnitude pruning",
        "Keeps the largest entries of each adapter and adds up.",
        "PEFT, add_weighted_adapter",
        MagnitudePruneOptions,
    ),
    _method(
        "della",
        "DELLA",
        "Drops entries at random, small ones of a row more often than large ones, makes the others larger to make up "
        "for it, and averages those that agree with the winning sign.",
        "Deep et al., 2024, arXiv 2406.11617",
        DellaOptions,
    ),
    _method(
        "breadcrumbs",
        "Model Breadcrumbs",
        "Drops the very largest and the small entries of each adapter and adds up what is between.",
        "Davari and Belilovsky, ECCV 2024, arXiv 2312.06795",
        BreadcrumbsOptions,
    ),
    _method(
        "sce",
        "SCE",
        "Keeps the entries in which the adapters differ most, weights each adapter by the energy it has there, and "
        "averages those that agree with the winning sign.",
        "Wan et al., 2024, arXiv 2408.07990",
        SceOptions,
    ),
)
