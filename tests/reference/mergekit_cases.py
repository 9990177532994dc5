"""What mergekit is held against: the same updates, weights and coins, and which of our options is which of its."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from reference.module_stacks import product, stack_of
from reference.random_factors import random_factors

from inference_worker.adapter_format import Factors
from inference_worker.merging.elementwise import Uniforms, adapter_identities

#: What mergekit made of the cases; ``fixtures/make_mergekit.py`` writes it.
STORED = Path(__file__).parents[1] / "fixtures" / "mergekit-0.1.5.safetensors"
SHAPE = (14, 20)
SEED = 3
POSITIVE = [0.7, 0.4, 1.5]

#: Our method and options, mergekit's method and parameters.
SAME: list[tuple[str, dict[str, Any], str, dict[str, Any]]] = [
    ("task_arithmetic", {"scaling": 0.8}, "task_arithmetic", {"lambda": 0.8}),
    ("ties", {"density": 0.4, "average": "weight"}, "ties", {"density": 0.4}),
    (
        "ties",
        {"density": 0.4, "average": "sum", "scaling": 2.0},
        "ties",
        {"density": 0.4, "normalize": False, "lambda": 2.0},
    ),
    ("dare_linear", {"density": 0.6, "rescale": "l1"}, "dare_linear", {"density": 0.6}),
    ("dare_ties", {"density": 0.6, "rescale": "l1", "average": "sum"}, "dare_ties", {"density": 0.6}),
    (
        "della",
        {"density": 0.6, "epsilon": 0.4, "rescale": "l1", "average": "weight"},
        "della",
        {"density": 0.6, "epsilon": 0.2},
    ),
    (
        "della",
        {"density": 0.6, "epsilon": 0.4, "rescale": "l1", "elect_signs": False},
        "della_linear",
        {"density": 0.6, "epsilon": 0.2},
    ),
    ("breadcrumbs", {"density": 0.5, "gamma": 0.1}, "breadcrumbs", {"density": 0.5, "gamma": 0.1}),
    (
        "breadcrumbs",
        {"density": 0.5, "gamma": 0.1, "elect_signs": True, "average": "sum"},
        "breadcrumbs_ties",
        {"density": 0.5, "gamma": 0.1},
    ),
]
#: SCE takes no weights: the share that is selected.
SELECTED = (0.25, 1.0)


def updates() -> list[Factors]:
    parts = [random_factors(seed, rank, SHAPE[1], SHAPE[0]) for seed, rank in enumerate((2, 4, 3))]
    return [Factors(pair.A.double(), pair.B.double()) for pair in parts]


def given() -> dict[str, torch.Tensor]:
    """What both get: the updates (K, rows, cols), and the random numbers, adapter by adapter."""
    stack = stack_of(updates(), POSITIVE)
    drawn = Uniforms(SEED, f"{stack.name}\0dense", adapter_identities(stack), SHAPE[1])
    deltas = torch.stack([product(pair) for pair in updates()])
    return {"updates": deltas, "uniforms": drawn.take(SHAPE[0], torch.device("cpu"))}
