"""Slow, obvious merges on dense matrices and raw vectors, to hold the fast ones against."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor


def dense_deltas(directory: Path) -> dict[str, Tensor]:
    """Δ per module in float64, read with the safetensors library; plain scales only, no patterns."""
    config = json.loads((directory / "adapter_config.json").read_text())
    tensors = load_file(directory / "adapter_model.safetensors")
    deltas = {}
    for name, a in tensors.items():
        if not name.endswith(".lora_A.weight"):
            continue
        module = name.removeprefix("base_model.model.").removesuffix(".lora_A.weight")
        rank = a.shape[0]
        alpha = config.get("alpha_pattern", {}).get(module, config["lora_alpha"])
        scale = alpha / math.sqrt(rank) if config.get("use_rslora") else alpha / rank
        deltas[module] = scale * tensors[name.replace("lora_A", "lora_B")].double() @ a.double()
    return deltas


def weighted_sum(adapters: Sequence[dict[str, Tensor]], weights: Sequence[float]) -> dict[str, Tensor]:
    """Σ w_i Δ_i; an absent module is zero and nothing is renormalised."""
    total: dict[str, Tensor] = {}
    for adapter, weight in zip(adapters, weights, strict=True):
        for module, delta in adapter.items():
            total[module] = total.get(module, torch.zeros_like(delta)) + weight * delta
    return total


def truncate(delta: Tensor, rank: int) -> Tensor:
    """The best approximation of the given rank, by dense SVD."""
    u, s, vh = torch.linalg.svd(delta, full_matrices=False)
    return (u[:, :rank] * s[:rank]) @ vh[:rank]


Unit = tuple[Tensor, Tensor]  # a: (d_in,), b: (d_out,)


def balanced_units(factors: Sequence[tuple[Tensor, Tensor, float]]) -> list[Unit]:
    """Units of several adapters (A, B, weight · scale), balanced to ‖a‖ = ‖b‖."""
    units = []
    for a_matrix, b_matrix, weight in factors:
        for index in range(a_matrix.shape[0]):
            a, b = a_matrix[index].double(), b_matrix[:, index].double()
            ratio = (b.norm() / a.norm()).sqrt()
            root = math.sqrt(abs(weight))
            units.append((root * ratio * a, math.copysign(root, weight) / ratio * b))
    return units


def lego_delta(units: Sequence[Unit], clusters: Sequence[Sequence[int]], mean_rank: float) -> Tensor:
    """The paper's formula for a given partition: centroids brought back to the mean norm, Δ scaled by sqrt(r/k).

    Signs inside a cluster are aligned by trying them all, largest centroid first.
    """
    total = None
    for members in clusters:
        points = [torch.cat(units[index]) for index in members]
        centroid = max((_signed_mean(points, signs) for signs in range(2 ** (len(points) - 1))), key=torch.norm)
        centroid = centroid * torch.stack([point.norm() for point in points]).mean() / centroid.norm()
        split = units[members[0]][0].shape[0]
        part = torch.outer(centroid[split:], centroid[:split])
        total = part if total is None else total + part
    assert total is not None
    return math.sqrt(mean_rank / len(clusters)) * total


def _signed_mean(points: Sequence[Tensor], signs: int) -> Tensor:
    """Mean with the first sign fixed; bit i of ``signs`` flips point i + 1."""
    flipped = [-point if index and signs >> (index - 1) & 1 else point for index, point in enumerate(points)]
    return torch.stack(flipped).mean(dim=0)


def raw_kmeans_inertia(units: Sequence[Unit], clusters: int, restarts: int, seed: int) -> float:
    """Smallest inertia that Lloyd's algorithm on raw vectors ±u finds from random starts."""
    points = [torch.cat(unit) for unit in units]
    chooser = random.Random(seed)
    best = math.inf
    for _ in range(restarts):
        centres = [points[index] for index in chooser.sample(range(len(points)), clusters)]
        inertia = math.inf
        for _ in range(100):
            closest = [min(((_gap(point, c), j) for j, c in enumerate(centres))) for point in points]
            reached = sum(distance for distance, _ in closest)
            if reached >= inertia:
                break
            inertia = reached
            for j in range(clusters):
                own = [_facing(p, centres[j]) for p, (_, chosen) in zip(points, closest, strict=True) if chosen == j]
                if own:
                    centres[j] = torch.stack(own).mean(dim=0)
        best = min(best, inertia)
    return best


def _gap(point: Tensor, centre: Tensor) -> float:
    return min(float((point - centre).square().sum()), float((point + centre).square().sum()))


def _facing(point: Tensor, centre: Tensor) -> Tensor:
    return point if float(point @ centre) >= 0 else -point
