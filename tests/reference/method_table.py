"""What tests over all merge methods know of each: when it gives back a single adapter, what it promises, and why not."""

from __future__ import annotations

from typing import Any

from inference_worker.merging import METHODS

#: Options with which one adapter at weight 1 comes out as it is.
NEUTRAL: dict[str, dict[str, Any]] = {
    "cat": {},
    "svd": {},
    "linear": {},
    "lego": {},
    "task_arithmetic": {},
    "ties": {"density": 1.0},
    "dare_linear": {"density": 1.0},
    "dare_ties": {"density": 1.0},
    "magnitude_prune": {"density": 1.0},
    "della": {"density": 1.0},
    "breadcrumbs": {"density": 1.0, "gamma": 0.0},
    "sce": {"select": 1.0},
    "knots": {"density": 1.0},
    "core_space": {"density": 1.0},
    "tsv_m": {},
    "karcher": {},
}
#: Methods that no options make neutral, with the reason.
NEVER_NEUTRAL = {
    "iso_c": "brings all directions to one strength, also those of a single adapter",
    "iso_cts": "brings all directions to one strength, also those of a single adapter",
}
#: Methods that take no single adapter, with the words of their refusal.
NOT_ALONE = {"slerp": "exactly two adapters"}


def neutral_methods() -> list[tuple[str, dict[str, Any]]]:
    """Methods with the options that give back a single adapter."""
    return [(name, NEUTRAL[name]) for name in METHODS if name in NEUTRAL]


def single_methods() -> list[str]:
    """Methods that take a single adapter."""
    return [name for name in METHODS if name not in NOT_ALONE]


def wanted_rank(name: str, rank: int) -> int | None:
    """``rank`` for the methods that take one."""
    return rank if METHODS[name].info.rank == "choose" else None
