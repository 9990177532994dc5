"""LoRA-LEGO and its options."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from inference_worker.contracts.common import Contract
from inference_worker.contracts.merge_methods.info import MergeMethodInfo
from inference_worker.contracts.merge_methods.rules import no_update_bias


class LegoOptions(Contract):
    """LoRA-LEGO (arXiv 2409.16167); see ``docs/merging.md`` for what each step does."""

    restarts: int = Field(default=4, ge=1, le=64, description="Independent k-means++ starts; the best inertia wins.")
    iterations: int = Field(default=50, ge=1, le=500, description="Most k-means iterations per start.")
    normalise: bool = Field(default=False, description="Cluster unit vectors: direction only, not size.")
    parameter_reweighting: Literal["l2", "inf", "none"] = Field(
        default="l2", description="Norm that a centroid is brought back to after averaging."
    )
    output_reweighting: bool = Field(default=True, description="Scale the result by sqrt(mean rank / k).")


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
