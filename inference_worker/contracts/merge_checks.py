"""What a merge's settings must be, given the names of its adapters' modules. Free of torch.

The worker refuses by these rules before any work starts; the marketplace asks them before there is a job.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from inference_worker.contracts.merge import MergeRequest
from inference_worker.contracts.merge_methods import METHODS, MergeMethodInfo
from inference_worker.contracts.merge_output import (
    MOST_WEIGHT,
    EnergyRank,
    InertiaRank,
    MemberWeights,
    MergeOutput,
    RankRule,
    factor_of,
)
from inference_worker.contracts.module_selectors import select_modules, selects
from inference_worker.errors import BadInput

#: LoRA-LEGO's option that bounds the ranks by inertia, module by module.
INERTIA_BUDGET = "inertia_budget"


@dataclass(frozen=True)
class AdapterNames:
    """The dotted names that an adapter changes: ``modules`` by low-rank factors, ``extras`` as whole tensors
    (modules_to_save, biases, tokens, embeddings); None where they are not known, so that they may fit any selector."""

    label: str
    modules: Sequence[str]
    extras: Sequence[str] | None = ()


def check_request(request: MergeRequest, adapters: Sequence[AdapterNames]) -> None:
    """Raise ``BadInput`` for settings that the worker refuses; ``adapters`` are in the request's order.

    ``extra["field"]`` names the setting: ``method``, ``rank``, ``ranks``, ``weights``, ``layer_weights``, ``include``
    or ``exclude``. Weights that are found from examples are not judged by those given.
    """
    info = METHODS.get(request.method)
    if info is None:
        message = f"There is no merge method {request.method!r}. Methods: {', '.join(sorted(METHODS))}."
        raise BadInput(message, code="bad_method", extra={"field": "method"})
    check_ranks(request.output, info)
    check_selectors(adapters, request.layer_weights, request.output)
    weights = request.weights if request.fit is None else (1.0,) * len(request.weights)
    check_weights(weights, request.layer_weights)
    for adapter, weight, own in zip(adapters, weights, _groups(request.layer_weights, len(weights)), strict=True):
        if present_weights(adapter.modules, weight, own, request.output):
            return
    raise nothing_left()


def check_ranks(output: MergeOutput, method: MergeMethodInfo) -> None:
    """Raise ``BadInput`` (``bad_rank``) for a rule of ``output`` that says nothing sensible about ``method``."""
    _check_rank(output.rank, method, "rank")
    for item in output.ranks:
        _check_rank(item.rank, method, "ranks")


def _check_rank(rule: RankRule | None, method: MergeMethodInfo, field: str) -> None:
    clusters = INERTIA_BUDGET in method.options.model_fields
    if isinstance(rule, InertiaRank) and not clusters:
        message = f"{method.name} has no clusters whose inertia could be kept; write energy:{rule.inertia:g}"
        raise BadInput(message, code="bad_rank", extra={"field": field})
    if isinstance(rule, EnergyRank) and clusters:
        message = f"{method.name} chooses its rank by the inertia of its clusters; write inertia:{rule.energy:g}"
        raise BadInput(message, code="bad_rank", extra={"field": field})


def check_weights(weights: Sequence[float], layer_weights: Sequence[MemberWeights] = ()) -> None:
    """Raise ``BadInput`` (``bad_weights``) for weights that are no numbers, too large, or all zero."""
    if layer_weights and len(layer_weights) != len(weights):
        message = f"Layer weights for {len(layer_weights)} of {len(weights)} adapters: give one list each"
        raise BadInput(message, code="bad_weights", extra={"field": "layer_weights"})
    if not all(abs(weight) <= MOST_WEIGHT for weight in weights):  # also catches NaN
        message = "A weight is not a number between −1,000,000 and 1,000,000"
        raise BadInput(message, code="bad_weights", extra={"field": "weights"})
    if not any(weights):
        message = "All weights are zero, so there is nothing to merge"
        raise BadInput(message, code="bad_weights", extra={"field": "weights"})


def check_selectors(
    adapters: Sequence[AdapterNames], layer_weights: Sequence[MemberWeights], output: MergeOutput
) -> None:
    """Raise ``BadInput`` (``bad_modules``) for a selector that fits nothing: a slip of the pen, which would otherwise
    go unnoticed."""
    for field, selector, names, words in _selectors(adapters, layer_weights, output):
        if not any(selects(selector, name) for name in names):
            example = next((name for adapter in adapters for name in adapter.modules), "")
            message = f"“{selector}” fits {words}; their modules have names like {example}"
            raise BadInput(message, code="bad_modules", extra={"selector": selector, "field": field})


def _selectors(
    adapters: Sequence[AdapterNames], layer_weights: Sequence[MemberWeights], output: MergeOutput
) -> Iterator[tuple[str, str, Sequence[str], str]]:
    """Every selector: its field, itself, the names that it may fit, and whose they are."""
    extras = [adapter.extras for adapter in adapters if adapter.extras is not None]
    if len(extras) == len(adapters):
        everything = [name for adapter in adapters for name in (*adapter.modules, *(adapter.extras or ()))]
        wanted = [("include", output.include), ("exclude", output.exclude)]
        wanted.append(("ranks", tuple(item.modules for item in output.ranks)))
        for field, selectors in wanted:
            for selector in selectors:
                yield field, selector, everything, "no module of these adapters"
    for adapter, groups in zip(adapters, layer_weights, strict=False):
        for group in groups:
            yield "layer_weights", group.modules, adapter.modules, f"no module of {adapter.label}"


def present_weights(
    modules: Iterable[str], weight: float, layers: MemberWeights, output: MergeOutput
) -> dict[str, float]:
    """The signed weight of an adapter in every module in which it takes part: modules that the output leaves out, and
    those in which its weight is 0, are absent."""
    names = select_modules(modules, output.include, output.exclude)
    found = {name: weight * factor_of(layers, name) for name in names}
    return {name: value for name, value in found.items() if value}


def nothing_left() -> BadInput:
    """For a merge in which no adapter takes part in any module."""
    message = "Nothing is left to merge: modules are left out, or their weights are zero, in every adapter"
    return BadInput(message, code="bad_modules", extra={"field": "include"})


def _groups(layer_weights: Sequence[MemberWeights], count: int) -> Sequence[MemberWeights]:
    return layer_weights or [()] * count
