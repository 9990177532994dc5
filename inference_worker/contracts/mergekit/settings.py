"""What mergekit's settings come to, tensor by tensor, and the same as factors by group of modules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from inference_worker.contracts.merge_output import MOST_GROUPS, GroupWeight, MemberWeights
from inference_worker.contracts.mergekit.config import Condition, Setting, fault
from inference_worker.contracts.module_selectors import layer_of


def evaluate(setting: Setting, module: str, layers: int) -> bool | float | None:
    """The value for a module's weight, as mergekit takes it; None where no condition fits."""
    if isinstance(setting, bool | float | int):
        return setting
    if isinstance(setting, Condition):
        setting = (setting,)
    if all(isinstance(item, Condition) for item in setting):
        tensor = f"{module}.weight"
        for item in setting:
            if isinstance(item, Condition) and item.filter in (None, "*", *_parts(item.filter, tensor)):
                return evaluate(item.value, module, layers)
        return None
    return _gradient([float(value) for value in setting if isinstance(value, int | float)], module, layers)


def _parts(wanted: str | None, tensor: str) -> tuple[str, ...]:
    return (wanted,) if wanted is not None and wanted in tensor else ()


def _gradient(values: Sequence[float], module: str, layers: int) -> float:
    """Values spread evenly over the layers, with straight lines between; before the layers the first counts."""
    if not values:
        raise fault("a list of values is empty")
    layer = layer_of(module)
    if layer is None:
        position = 0.0 if "embed" in module or "wte" in module else 1.0
    else:
        position = layer / (layers - 1) if layers > 1 else 1.0
    scaled = min(position, 1.0) * (len(values) - 1)
    low = int(scaled)
    high = min(len(values) - 1, low + 1)
    return values[low] + (scaled - low) * (values[high] - values[low])


def as_groups(values: Mapping[str, float]) -> tuple[float, MemberWeights]:
    """One adapter's weights by module as a weight and the fewest factors: by layers, by last names, or one by one."""
    distinct = set(values.values())
    if len(distinct) <= 1:
        return (distinct.pop() if distinct else 0.0), ()
    if any(abs(value) > 1e6 for value in distinct):
        raise fault("a weight is beyond 1,000,000")
    groups = _by_layers(values) or _by_last_name(values) or list(values.items())
    if len(groups) > MOST_GROUPS:
        raise fault(f"its weights differ between more than {MOST_GROUPS} groups of modules")
    return 1.0, tuple(GroupWeight(modules=selector, factor=factor) for selector, factor in groups)


def _by_layers(values: Mapping[str, float]) -> list[tuple[str, float]]:
    """Runs of layers with one value each; nothing where modules of one layer differ."""
    found: dict[int, float] = {}
    others = []
    for module, value in values.items():
        layer = layer_of(module)
        if layer is None:
            others.append((module, value))
        elif found.setdefault(layer, value) != value:
            return []
    runs: list[tuple[int, int, float]] = []
    for layer in sorted(found):
        if runs and runs[-1][1] == layer - 1 and runs[-1][2] == found[layer]:
            runs[-1] = (runs[-1][0], layer, found[layer])
        else:
            runs.append((layer, layer, found[layer]))
    return [(str(first) if first == last else f"{first}-{last}", value) for first, last, value in runs] + others


def _by_last_name(values: Mapping[str, float]) -> list[tuple[str, float]]:
    """A value per last part of the name (``q_proj``); nothing where modules of one such name differ."""
    found: dict[str, float] = {}
    for module, value in values.items():
        if found.setdefault(module.rpartition(".")[2], value) != value:
            return []
    return list(found.items())
