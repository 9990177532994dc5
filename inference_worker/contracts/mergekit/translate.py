"""From a mergekit file to a merge of adapters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import ValidationError

from inference_worker.contracts.faults import faults_in_words
from inference_worker.contracts.merge_methods import METHODS
from inference_worker.contracts.merge_output import MemberWeights, MergeOutput, OutputDtype
from inference_worker.contracts.mergekit.config import MergekitConfig, ModelEntry, fault
from inference_worker.contracts.mergekit.methods import (
    COUNTERPARTS,
    FULL_RANK,
    OTHER_CHANCE,
    SPHERICAL,
    WHOLE_WEIGHTS,
    Counterpart,
)
from inference_worker.contracts.mergekit.settings import as_groups, evaluate
from inference_worker.contracts.module_selectors import layer_of

#: Settings that change how mergekit computes and not what.
_HARMLESS = {"int8_mask"}


@dataclass(frozen=True)
class MergekitMerge:
    """What to merge, and sentences about where mergekit's result differs. ``adapters`` are named as in the file."""

    base: str
    adapters: tuple[str, ...]
    weights: tuple[float, ...]
    layer_weights: tuple[MemberWeights, ...]
    method: str
    options: dict[str, Any]
    output: MergeOutput
    notes: tuple[str, ...]


def translate(config: MergekitConfig, modules: Sequence[Sequence[str]]) -> MergekitMerge:
    """The merge that ``config`` describes.

    ``modules`` are the names of the modules that each adapter has, in the order of ``adapters_of(config)``; weights by
    layer are worked out for them. Raises ``BadInput`` naming what has no counterpart.
    """
    return _Translation(config, modules).result()


def adapters_of(config: MergekitConfig) -> list[ModelEntry]:
    """The entries that are adapters on the one base. Raises ``BadInput`` for a model that is none."""
    bases = {str(entry.model.base) for entry in config.entries}
    if config.base_model is not None:
        bases.add(config.base_model.base)
    if len(bases) > 1:
        raise fault(f"its models have several bases ({', '.join(sorted(bases))}); all have to be base+adapter of one")
    entries = [entry for entry in config.entries if entry.model.adapter]
    if not entries:
        raise fault("its models are whole models; adapters are written base+adapter")
    if config.merge_method == "slerp":
        entries.sort(key=lambda entry: entry.model != config.base_model)
    return entries


class _Translation:
    def __init__(self, config: MergekitConfig, modules: Sequence[Sequence[str]]) -> None:
        self.config = config
        self.entries = adapters_of(config)
        if len(modules) != len(self.entries):
            raise fault(f"it names {len(self.entries)} adapters, and {len(modules)} are given")
        self.modules = modules
        self.names = list(dict.fromkeys(name for names in modules for name in names))
        seen = max((layer_of(name) or 0 for name in self.names), default=0) + 1
        self.layers = max(config.layers or 0, seen)
        self.used: set[str] = set(_HARMLESS)

    def result(self) -> MergekitMerge:
        name = self.config.merge_method
        if name in SPHERICAL:
            method, options, weights, notes = self._spherical(name)
        elif name in COUNTERPARTS:
            method, options, weights, notes = self._differences(name, COUNTERPARTS[name])
        else:
            known = ", ".join(sorted([*COUNTERPARTS, *SPHERICAL]))
            raise fault(f"merge_method {name}: known here are {known}")
        self._check_used()
        try:
            options = METHODS[method].options.model_validate(options).model_dump(mode="json")
        except ValidationError as error:
            raise fault(f"{method}: {'; '.join(faults_in_words(error))}") from error
        pairs = [as_groups(values) for values in weights]
        grouped = any(groups for _, groups in pairs)
        return MergekitMerge(
            base=self.entries[0].model.base,
            adapters=tuple(entry.model.adapter for entry in self.entries),
            weights=tuple(weight for weight, _ in pairs),
            layer_weights=tuple(groups for _, groups in pairs) if grouped else (),
            method=method,
            options=options,
            output=self._output(),
            notes=(*notes, *([] if method == "cat" else [FULL_RANK])),
        )

    # --- settings -----------------------------------------------------------------------------------------------------
    def value(self, name: str, module: str, entry: ModelEntry | None = None) -> bool | float | None:
        """What a setting is for a module: the model's own, else what holds for all."""
        self.used.add(name)
        for table in ([entry.parameters] if entry is not None else []) + [self.config.shared]:
            if name in table:
                found = evaluate(table[name], module, self.layers)
                if found is not None:
                    return found
        return None

    def weight(self, module: str, entry: ModelEntry) -> float:
        found = self.value("weight", module, entry)
        if found is None:
            raise fault(f"{entry.model} has no weight for {module}")
        return float(found)

    def constant(self, name: str, default: float, *, shared: bool = False) -> float:
        """A number that has to be the same for all models and layers. Raises ``BadInput`` where it is not."""
        entries: Sequence[ModelEntry | None] = [None] if shared else self.entries
        found = {self.value(name, module, entry) for entry in entries for module in self.names}
        values = {default if value is None else float(value) for value in found}
        if len(values) > 1:
            raise fault(f"{name} differs between models or layers; here it is one number")
        return values.pop() if values else default

    def _check_used(self) -> None:
        tables: list[Mapping[str, object]] = [self.config.shared, *(entry.parameters for entry in self.config.entries)]
        unknown = sorted({name for table in tables for name in table} - self.used)
        if unknown:
            raise fault(f"{self.config.merge_method} has no {', '.join(unknown)}")

    def _output(self) -> MergeOutput:
        wanted = self.config.out_dtype or self.config.dtype or "same"
        if wanted not in get_args(OutputDtype):
            raise fault(f"dtype {wanted}: known here are {', '.join(get_args(OutputDtype))}")
        return MergeOutput.model_validate({"dtype": wanted})

    # --- methods ------------------------------------------------------------------------------------------------------
    def _differences(
        self, name: str, there: Counterpart
    ) -> tuple[str, dict[str, Any], list[dict[str, float]], list[str]]:
        """Methods that combine differences from the base."""
        if name != "linear" and self.config.base_model is None:
            raise fault(f"{name} needs a base_model")
        options = dict(there.options)
        for theirs, (ours, default, factor) in there.numbers.items():
            options[ours] = factor * self.constant(theirs, default)
        if there.scaling:
            options["scaling"] = self.constant("lambda", 1.0, shared=True)
        if not there.weights:
            return there.method, options, self._weights(there), []
        if there.rescale != bool(self.constant("rescale", there.rescale, shared=True)):
            raise fault(f"rescale: {str(not there.rescale).lower()} with {name}")
        if there.rescale:
            options["rescale"] = "l1"
        normalize = bool(self.constant("normalize", there.normalize, shared=True))
        weights = self._weights(there)
        if there.signs:
            options["average"] = "weight" if normalize else "sum"
            if normalize and any(value < 0.0 for values in weights for value in values.values()):
                raise fault("normalize with negative weights, where mergekit divides by what is left of their sum")
        elif normalize:
            weights = self._normalized(weights)
        return there.method, options, weights, [OTHER_CHANCE] if there.rescale else []

    def _weights(self, there: Counterpart) -> list[dict[str, float]]:
        """Each adapter's weight in each of its modules."""
        pairs = zip(self.entries, self.modules, strict=True)
        if not there.weights:
            return [dict.fromkeys(names, 1.0) for names in self.modules]
        return [{name: self.weight(name, entry) for name in names} for entry, names in pairs]

    def _normalized(self, weights: list[dict[str, float]]) -> list[dict[str, float]]:
        """Weights over their sum, in which adapters without the module and, for ``linear``, the base itself count."""
        counted = list(self.config.entries) if self.config.merge_method == "linear" else self.entries
        totals = {name: sum(self.weight(name, entry) for entry in counted) for name in self.names}
        if any(abs(total) < 1e-8 for total in totals.values()):
            raise fault("normalize with weights that add up to zero")
        return [{name: value / totals[name] for name, value in values.items()} for values in weights]

    def _spherical(self, name: str) -> tuple[str, dict[str, Any], list[dict[str, float]], list[str]]:
        """Methods on spheres. ``nuslerp`` with a base means the same here and there."""
        same = [dict.fromkeys(names, 1.0) for names in self.modules]
        whole = [WHOLE_WEIGHTS.format(name=name)]
        if name == "karcher":
            options = {"iterations": int(self.constant("max_iter", 10, shared=True))}
            self.used.add("tol")
            return "karcher", options, same, whole
        bare = [entry for entry in self.config.entries if not entry.model.adapter]
        if len(self.entries) != 2 or (bare and (name == "slerp" or self.config.base_model is None)):
            raise fault(f"{name} takes exactly two adapters")
        if name == "slerp":
            if self.config.base_model not in [entry.model for entry in self.entries]:
                raise fault("slerp goes from its base_model, which has to be one of the two")
            return "slerp", {"t": self.constant("t", 0.5, shared=True)}, same, whole
        if not self.constant("nuslerp_flatten", 1.0, shared=True) or self.constant(
            "nuslerp_row_wise", 0.0, shared=True
        ):
            raise fault("nuslerp by rows or columns")
        first, second = (self._one_weight(entry) for entry in self.entries)
        t = second / (first + second) if abs(first + second) >= 1e-6 else 0.5
        return "slerp", {"t": t}, same, whole if self.config.base_model is None else []

    def _one_weight(self, entry: ModelEntry) -> float:
        values = {self.weight(module, entry) for module in self.names}
        if len(values) != 1:
            raise fault("nuslerp with weights by layer")
        return values.pop()
