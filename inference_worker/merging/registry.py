"""Bind tensor functions to the methods of ``contracts.merge_methods``, which carries their words and options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import ValidationError

from inference_worker.contracts import merge_methods
from inference_worker.contracts.common import Contract
from inference_worker.contracts.faults import faults_in_words
from inference_worker.contracts.merge_methods import MergeMethodInfo
from inference_worker.errors import BadInput
from inference_worker.merging.breadcrumbs import merge_breadcrumbs
from inference_worker.merging.cat import merge_cat
from inference_worker.merging.core_space import core_space_updates, merge_core_space
from inference_worker.merging.dare import merge_dare_linear, merge_dare_ties
from inference_worker.merging.della import merge_della
from inference_worker.merging.iso_c import merge_iso_c
from inference_worker.merging.iso_cts import merge_iso_cts
from inference_worker.merging.karcher import merge_karcher
from inference_worker.merging.knots import knots_updates, merge_knots
from inference_worker.merging.lego import merge_lego
from inference_worker.merging.linear import merge_linear
from inference_worker.merging.magnitude_prune import merge_magnitude_prune
from inference_worker.merging.sce import merge_sce
from inference_worker.merging.slerp import merge_slerp
from inference_worker.merging.spaces import Updates, updates_in_space
from inference_worker.merging.stack import Merged, ModuleStack
from inference_worker.merging.svd import merge_svd
from inference_worker.merging.task_arithmetic import merge_task_arithmetic
from inference_worker.merging.ties import merge_ties
from inference_worker.merging.trimming import needs_limits
from inference_worker.merging.tsv_m import merge_tsv_m


class MergeFunction(Protocol):
    """A plain tensor function: stacks of one group of modules in, one result each out, same order."""

    def __call__(self, stacks: Sequence[ModuleStack], rank: int | None, options: Any, seed: int) -> list[Merged]: ...


class MatricesFunction(Protocol):
    """What a method that trims merges entry by entry of one module."""

    def __call__(self, stack: ModuleStack, options: Any, seed: int) -> Sequence[Updates]: ...


@dataclass(frozen=True)
class MergeMethod:
    """``matrices`` is there for methods that can trim whole adapters, which the pipeline looks at first."""

    info: MergeMethodInfo
    merge: MergeFunction
    matrices: MatricesFunction | None = None

    def kept_of_whole(self, options: Any) -> float | None:
        """The share that is kept of whole adapters, so that all modules are looked at before the first one is merged;
        None where no such look is needed."""
        trimming = self.matrices is not None and getattr(options, "merge", "ties") == "ties"
        return float(options.density) if trimming and needs_limits(options) else None


_FUNCTIONS: dict[str, MergeFunction] = {
    "cat": merge_cat,
    "breadcrumbs": merge_breadcrumbs,
    "dare_linear": merge_dare_linear,
    "dare_ties": merge_dare_ties,
    "della": merge_della,
    "magnitude_prune": merge_magnitude_prune,
    "sce": merge_sce,
    "task_arithmetic": merge_task_arithmetic,
    "ties": merge_ties,
    "lego": merge_lego,
    "linear": merge_linear,
    "svd": merge_svd,
    # Their weights are found before (see ``inference_worker.fitting``); what is left is the weighted sum.
    "lorahub": merge_svd,
    "lora_soup": merge_svd,
    "knots": merge_knots,
    "core_space": merge_core_space,
    "tsv_m": merge_tsv_m,
    "iso_c": merge_iso_c,
    "iso_cts": merge_iso_cts,
    "karcher": merge_karcher,
    "slerp": merge_slerp,
}

_MATRICES: dict[str, MatricesFunction] = {
    "ties": updates_in_space,
    "magnitude_prune": updates_in_space,
    "knots": knots_updates,
    "core_space": core_space_updates,
}

METHODS: dict[str, MergeMethod] = {
    name: MergeMethod(info, _FUNCTIONS[name], _MATRICES.get(name)) for name, info in merge_methods.METHODS.items()
}


def find_method(name: str) -> MergeMethod:
    """The method called ``name``. Raises ``BadInput`` that lists the methods there are."""
    if name not in METHODS:
        raise BadInput(f"There is no merge method {name!r}. Methods: {', '.join(sorted(METHODS))}.", code="bad_method")
    return METHODS[name]


def parse_options(method: MergeMethod, options: Mapping[str, Any]) -> Contract:
    """The method's options, checked. Raises ``BadInput`` naming every option at fault and those there are."""
    try:
        return method.info.options.model_validate(dict(options))
    except ValidationError as fault:
        faults = "; ".join(faults_in_words(fault, method.info.options.model_fields))
        known = ", ".join(sorted(method.info.options.model_fields)) or "none"
        message = f"Options of {method.info.name}: {faults}. Options it has: {known}."
        raise BadInput(message, code="bad_options") from fault


def describe_methods() -> list[dict[str, Any]]:
    """All methods with the JSON schema of their options."""
    return [method.info.describe() for method in METHODS.values()]
