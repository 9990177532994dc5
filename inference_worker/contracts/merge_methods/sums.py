"""Methods that give the weighted sum: exactly, cut to a rank, or factor by factor."""

from __future__ import annotations

from pydantic import Field

from inference_worker.contracts.common import Contract
from inference_worker.contracts.merge_methods.info import MergeMethodInfo, NoOptions
from inference_worker.contracts.merge_methods.rules import equal_ranks


class CatOptions(Contract):
    rotate: bool = Field(
        default=False,
        description="Turn the rank space at random, as earlier versions did. The output's rotation hides more.",
        json_schema_extra={"deprecated": True},
    )


SUMS = (
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
        refuse=equal_ranks,
    ),
)
