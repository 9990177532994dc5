"""Methods in groups by what they do, for the page. A method that no group names stands under the last heading."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from inference_worker.contracts.merge_methods import METHODS, MergeMethodInfo


@dataclass(frozen=True)
class MethodGroup:
    title: str
    words: str
    methods: list[MergeMethodInfo] = field(default_factory=list)


GROUPS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("Bricks", "Take the adapters apart and put like parts together.", ("lego",)),
    (
        "Sums",
        "Add the adapters up; every weight means what it says.",
        ("cat", "svd", "task_arithmetic", "linear"),
    ),
    (
        "Sums without conflicts",
        "Drop small or contradicting changes before adding up.",
        ("ties", "dare_linear", "dare_ties", "magnitude_prune", "della", "breadcrumbs", "sce"),
    ),
    ("Between", "Go from one adapter to another along a curve.", ("slerp", "karcher")),
    (
        "Shared subspaces",
        "Find the directions that adapters have in common, and merge there.",
        ("knots", "core_space", "tsv_m", "iso_c", "iso_cts"),
    ),
    ("Learned from examples", "Search the weights on the adapters' own examples.", ("lorahub", "lora_soup")),
)


def method_groups(methods: Iterable[MergeMethodInfo] | None = None) -> list[MethodGroup]:
    """All methods, LoRA-LEGO's group first; groups that have none are left out."""
    left = {info.name: info for info in (METHODS.values() if methods is None else methods)}
    groups = [
        MethodGroup(title, words, [left.pop(name) for name in names if name in left]) for title, words, names in GROUPS
    ]
    # Variants such as ties_svd stand with what they vary.
    for name in list(left):
        for group, (_, _, names) in zip(groups, GROUPS, strict=True):
            if name in left and any(name.startswith(f"{known}_") for known in names):
                group.methods.append(left.pop(name))
    groups.append(MethodGroup("Others", "", list(left.values())))
    return [group for group in groups if group.methods]
