"""The merge methods as everybody may know them: names, words, options. Free of torch.

``inference_worker.merging`` binds a tensor function to each; a test holds both tables against each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field

from inference_worker.contracts.common import Contract


class NoOptions(Contract):
    """For methods that have nothing to choose."""


class CatOptions(Contract):
    rotate: bool = Field(
        default=False,
        description="Turn the rank space at random, so that the parents cannot be read off the result. Same effect.",
    )


class LegoOptions(Contract):
    """LoRA-LEGO (arXiv 2409.16167); see ``docs/merging.md`` for what each step does."""

    restarts: int = Field(default=4, ge=1, le=64, description="Independent k-means++ starts; the best inertia wins.")
    iterations: int = Field(default=50, ge=1, le=500, description="Most k-means iterations per start.")
    normalise: bool = Field(default=False, description="Cluster unit vectors: direction only, not size.")
    parameter_reweighting: Literal["l2", "inf", "none"] = Field(
        default="l2", description="Norm that a centroid is brought back to after averaging."
    )
    output_reweighting: bool = Field(default=True, description="Scale the result by sqrt(mean rank / k).")


@dataclass(frozen=True)
class MergeMethodInfo:
    """One method. ``rank`` is ``sum`` when the result's rank is the sum of its parents' and ``choose`` when it can be
    given; ``exact`` when the result equals the weighted sum (up to the chosen rank)."""

    name: str
    title: str
    explanation: str
    paper: str
    exact: bool
    rank: Literal["sum", "choose", "same"]
    options: type[Contract]

    def describe(self) -> dict[str, Any]:
        """JSON-safe description with the options' JSON schema."""
        return {
            "name": self.name,
            "title": self.title,
            "explanation": self.explanation,
            "paper": self.paper,
            "exact": self.exact,
            "rank": self.rank,
            "options": self.options.model_json_schema(),
        }


METHODS: dict[str, MergeMethodInfo] = {
    info.name: info
    for info in (
        MergeMethodInfo(
            name="lego",
            title="LoRA-LEGO",
            explanation="Takes the adapters apart into rank-one units, clusters units that mean the same, and builds "
            "one new adapter from the clusters' centres. Keeps the rank you choose.",
            paper="arXiv 2409.16167",
            exact=False,
            rank="choose",
            options=LegoOptions,
        ),
        MergeMethodInfo(
            name="svd",
            title="Truncated sum",
            explanation="The weighted sum of the adapters, cut to the rank you choose with the least possible error.",
            paper="Eckart and Young, 1936",
            exact=True,
            rank="choose",
            options=NoOptions,
        ),
        MergeMethodInfo(
            name="cat",
            title="Exact sum",
            explanation="The weighted sum of the adapters with nothing lost; the ranks add up.",
            paper="PEFT, add_weighted_adapter",
            exact=True,
            rank="sum",
            options=CatOptions,
        ),
        MergeMethodInfo(
            name="linear",
            title="Factor average",
            explanation="Adds the factors A and B separately, as PEFT does. Quick and small, but it has cross terms "
            "between adapters; all ranks must be equal.",
            paper="PEFT, add_weighted_adapter",
            exact=False,
            rank="same",
            options=NoOptions,
        ),
    )
}
