"""What tests over all merge methods know of each: when it gives back a single adapter, what it promises, and why."""

from __future__ import annotations

from typing import Any

from inference_worker.merging import METHODS

#: Options with which one adapter at weight 1 comes out as it is.
NEUTRAL: dict[str, dict[str, Any]] = {
    "cat": {},
    "svd": {},
    "linear": {},
    "lorahub": {},
    "lora_soup": {},
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


#: Options under which nothing of an adapter is dropped, so that the whole result can be foretold.
WHOLE = {**NEUTRAL, "tsv_m": {"keep": 1.0}, "iso_c": {}, "iso_cts": {"common": 1.0}, "slerp": {}}

#: What K identical adapters of weight 1 give, as a multiple of the adapter: K for sums, 1 for means.
IDENTICAL = {
    "cat": 3.0,
    "svd": 3.0,
    "lorahub": 3.0,  # the weighted sum, once the weights are found
    "lora_soup": 3.0,
    "linear": 9.0,  # three times A times three times B
    "lego": 1.0,
    "task_arithmetic": 3.0,
    "ties": 1.0,
    "dare_linear": 3.0,
    "dare_ties": 1.0,
    "magnitude_prune": 3.0,
    "della": 1.0,
    "breadcrumbs": 3.0,
    "sce": 1.0,
    "knots": 1.0,
    "core_space": 1.0,
    "tsv_m": 1.0,
    "karcher": 1.0,
    "slerp": 1.0,
}

#: Methods whose result depends on how an adapter's ranks are ordered, with the reason.
ORDER_OF_RANKS = {"linear": "adds up what has the same place in two adapters"}

#: Methods for which an adapter that is zero is not as good as absent, with the reason.
ZERO_IS_SEEN = {
    "linear": "its A meets the other adapters' B",
    "sce": "it counts in the variance",
    "core_space": "its A spans directions of the core, which count in the density",
    "karcher": "it counts in the mean of sizes",
    "slerp": "it is one of the two",
}

#: Methods that do not give the plain sum of adapters without any direction in common, with the reason.
NO_SUM_OF_STRANGERS = {
    "linear": "has cross terms",
    "iso_c": "brings all directions to one strength",
    "iso_cts": "brings all directions to one strength",
    "karcher": "keeps the mean size",
    "slerp": "keeps the mean size",
}

#: Methods whose weights are shares, so that only their ratios count.
SHARES = ("karcher",)

#: Methods beside the exact ones that leave nothing of two adapters that cancel out.
CANCEL = ("core_space", "dare_ties", "iso_c", "karcher", "knots", "slerp", "ties")
