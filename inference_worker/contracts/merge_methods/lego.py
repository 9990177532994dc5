"""LoRA-LEGO and its options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from inference_worker.contracts.common import Contract
from inference_worker.contracts.merge_methods.info import MergeMethodInfo
from inference_worker.contracts.merge_methods.rules import no_update_bias

#: The choices of the paper's text: units as they are stored, joined by plain k-means.
PAPER: Mapping[str, Any] = {
    "normalise": "off",
    "balance": False,
    "align_signs": False,
    "parameter_reweighting": "l2",
    "output_reweighting": "always",
    "adapter_weights": "fold",
}


def with_earlier_start(options: Mapping[str, Any]) -> dict[str, Any]:
    """``options`` of a recipe from before there was Ward's start."""
    return {"start": "random", **options}


class LegoOptions(Contract):
    """LoRA-LEGO (arXiv 2409.16167); see ``docs/merging.md`` for what each step does."""

    variant: Literal["settled", "paper"] = Field(
        default="settled",
        description="settled: each choice as given below, the defaults being what measured best. paper: the paper's "
        "text to the letter (units as stored, no balancing, no signs) for each choice that is left at its default.",
    )
    start: Literal["ward", "random"] = Field(
        default="ward",
        description="Where k-means starts. ward: from Ward's hierarchy of the units, which leaves less inertia. "
        "random: from the best of several k-means++ starts, as in earlier versions.",
    )
    restarts: int = Field(
        default=4, ge=1, le=64, description="Independent k-means++ starts of start=random; the best inertia wins."
    )
    iterations: int = Field(default=50, ge=1, le=500, description="Most k-means iterations per start of start=random.")
    normalise: Literal["off", "joint", "each"] = Field(
        default="off",
        description="Cluster directions, not sizes: of whole units (joint), or of a and b apart (each). Balanced units "
        "give the same clusters either way.",
    )
    balance: bool = Field(
        default=True, description="Bring a and b of each unit to one length first; their product does not change."
    )
    align_signs: bool = Field(
        default=True, description="Count a unit and its mirror (-a, -b) as one: both are the same update."
    )
    parameter_reweighting: Literal["l2", "inf", "none"] = Field(
        default="l2", description="Norm that a centroid is brought back to after averaging."
    )
    output_reweighting: Literal["growing", "always", "never"] = Field(
        default="growing",
        description="Scale the result by sqrt(mean rank / k) where that makes it larger (growing), also where it makes "
        "it smaller, as in the paper (always), or never.",
    )
    adapter_weights: Literal["fold", "sample"] = Field(
        default="fold",
        description="What the adapters' weights do: scale their units (fold), or count in clusters and means like that "
        "many copies (sample), so that only their ratios matter and only inside a brick.",
    )
    inertia_budget: float = Field(
        default=0.0,
        ge=0.0,
        le=1.0,
        description="Per module the smallest rank that keeps this share of the units' squared size, such as 0.9, and "
        "at most the rank given. 0: exactly the rank given.",
    )

    @model_validator(mode="before")
    @classmethod
    def _resolve(cls, data: Any) -> Any:
        """Read older recipes' yes and no for ``normalise`` and ``output_reweighting``, fill in the paper's choices.

        Forms send every option, so one at its default counts as left alone. Resolving twice changes nothing.
        """
        if not isinstance(data, Mapping):
            return data
        resolved = dict(data)
        if isinstance(resolved.get("normalise"), bool):
            resolved["normalise"] = "joint" if resolved["normalise"] else "off"
        if isinstance(resolved.get("output_reweighting"), bool):
            resolved["output_reweighting"] = "always" if resolved["output_reweighting"] else "never"
        if resolved.get("variant") == "paper":
            for name, value in PAPER.items():
                default = cls.model_fields[name].default
                if resolved.get(name, default) == default:
                    resolved[name] = value
        return resolved


LEGO = (
    MergeMethodInfo(
        name="lego",
        title="LoRA-LEGO",
        explanation="Takes the adapters apart into rank-one units, clusters units that mean the same, and builds "
        "one new adapter from the clusters' centres. Keeps the rank you choose.",
        paper="arXiv 2409.16167",
        exact=False,
        rank="choose",
        options=LegoOptions,
        refuse=no_update_bias,
    ),
)
