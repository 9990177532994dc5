"""How a merge was made, so that anybody can make it again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

import torch

from inference_worker.adapter_format.reader import AdapterReader


def write_recipe(
    readers: Sequence[AdapterReader],
    weights: Sequence[float],
    digests: Sequence[Mapping[str, str]],
    method: str,
    parameters: Mapping[str, Any],
    seed: int,
) -> dict[str, Any]:
    """The recipe as a JSON-safe table; the same inputs give the same bytes."""
    return {
        "format": 1,
        "kind": "merge",
        "method": method,
        "parameters": dict(parameters),
        "seed": seed,
        "parents": [
            {"label": reader.label, "weight": weight, "config": digest["config"], "weights": digest["weights"]}
            for reader, weight, digest in zip(readers, weights, digests, strict=True)
        ],
        "versions": {"brickyard": metadata.version("brickyard"), "torch": torch.__version__.partition("+")[0]},
    }
