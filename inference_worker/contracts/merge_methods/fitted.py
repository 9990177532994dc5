"""Methods that find the weights from examples. What they merge is the weighted sum, cut to a rank."""

from __future__ import annotations

from pydantic import Field

from inference_worker.contracts.common import Contract
from inference_worker.contracts.merge_methods.info import MergeMethodInfo


class LorahubOptions(Contract):
    """LoraHub (arXiv 2307.13269)."""

    evaluations: int = Field(default=120, ge=8, le=5000, description="Most tries; each is one pass over the examples.")
    bound: float = Field(default=1.5, gt=0.0, le=10.0, description="Weights stay between minus and plus this.")
    shrinkage: float = Field(default=0.05, ge=0.0, le=10.0, description="Price of large weights; 0 for none.")
    held_out: float = Field(default=0.25, ge=0.05, le=0.9, description="Share of the examples that is not fitted.")


class LoraSoupOptions(Contract):
    """LoRA Soups (arXiv 2410.13025)."""

    steps: int = Field(default=60, ge=1, le=5000, description="Steps of training, on the weights alone.")
    rate: float = Field(default=0.03, gt=0.0, le=1.0, description="Learning rate at the start; it falls to zero.")
    batch: int = Field(default=16, ge=1, le=512, description="Examples per step.")
    held_out: float = Field(default=0.25, ge=0.05, le=0.9, description="Share of the examples that picks the step.")


FITTED = (
    MergeMethodInfo(
        name="lorahub",
        title="LoraHub",
        explanation="Tries weights on your examples, without gradients, and keeps the best: one weight per adapter, "
        "also negative. Good for many adapters of which few matter.",
        paper="arXiv 2307.13269",
        exact=True,
        rank="choose",
        options=LorahubOptions,
        examples=True,
    ),
    MergeMethodInfo(
        name="lora_soup",
        title="LoRA Soup",
        explanation="Learns on your examples how much of each adapter every layer takes. Only these few numbers are "
        "trained; the adapters stay as they are.",
        paper="arXiv 2410.13025",
        exact=True,
        rank="choose",
        options=LoraSoupOptions,
        examples=True,
    ),
)
