"""How a merge was made, so that anybody can make it again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

import torch

from inference_worker.adapter_format.reader import AdapterReader
from inference_worker.contracts.merge_output import MemberWeights
from inference_worker.contracts.merge_recipe import MergeRecipe, RecipeParent
from inference_worker.merging.plan import MergePlan


def versions() -> dict[str, str]:
    """What computes here: of others the last bits may differ. ``processor`` is the set of vector instructions that
    torch's products are compiled for."""
    return {
        "brickyard": metadata.version("brickyard"),
        "torch": torch.__version__.partition("+")[0],
        "numpy": metadata.version("numpy"),
        "processor": torch.backends.cpu.get_cpu_capability(),
    }


def write_recipe(
    plan: MergePlan,
    readers: Sequence[AdapterReader],
    weights: Sequence[float],
    layer_weights: Sequence[MemberWeights],
    digests: Sequence[Mapping[str, str]],
) -> dict[str, Any]:
    """The recipe as a JSON-safe table (``MergeRecipe``); the same inputs give the same bytes."""
    groups = layer_weights or [()] * len(readers)
    parents = tuple(
        RecipeParent(
            label=reader.label, weight=weight, layer_weights=own, config=digest["config"], weights=digest["weights"]
        )
        for reader, weight, own, digest in zip(readers, weights, groups, digests, strict=True)
    )
    return MergeRecipe(
        method=plan.method.info.name,
        options=plan.options.model_dump(mode="json"),
        output=plan.output,
        seed=plan.seed,
        parents=parents,
        versions=versions(),
    ).model_dump(mode="json")
