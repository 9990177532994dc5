"""Bind tensor functions to the methods of ``contracts.merge_methods``, which carries their words and options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import ValidationError

from inference_worker.contracts import merge_methods
from inference_worker.contracts.common import Contract
from inference_worker.contracts.merge_methods import MergeMethodInfo
from inference_worker.errors import BadInput
from inference_worker.merging.cat import merge_cat
from inference_worker.merging.lego import merge_lego
from inference_worker.merging.linear import merge_linear
from inference_worker.merging.stack import Merged, ModuleStack
from inference_worker.merging.svd import merge_svd


class MergeFunction(Protocol):
    """A plain tensor function: stacks of one group of modules in, one result each out, same order."""

    def __call__(self, stacks: Sequence[ModuleStack], rank: int | None, options: Any, seed: int) -> list[Merged]: ...


@dataclass(frozen=True)
class MergeMethod:
    info: MergeMethodInfo
    merge: MergeFunction


_FUNCTIONS: dict[str, MergeFunction] = {
    "cat": merge_cat,
    "lego": merge_lego,
    "linear": merge_linear,
    "svd": merge_svd,
}

METHODS: dict[str, MergeMethod] = {
    name: MergeMethod(info, _FUNCTIONS[name]) for name, info in merge_methods.METHODS.items()
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
        faults = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in fault.errors())
        known = ", ".join(sorted(method.info.options.model_fields)) or "none"
        message = f"Options of {method.info.name}: {faults}. Options it has: {known}."
        raise BadInput(message, code="bad_options") from fault


def describe_methods() -> list[dict[str, Any]]:
    """All methods with the JSON schema of their options."""
    return [method.info.describe() for method in METHODS.values()]
