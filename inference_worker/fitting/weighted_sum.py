"""A base whose linear modules add Σᵢ wᵢ Δᵢ, with weights that can be set, and learnt, while the base stays as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn

from inference_worker.adapter_format.layout import natural_order
from inference_worker.adapter_format.reader import AdapterReader
from inference_worker.contracts.merge_checks import nothing_left
from inference_worker.contracts.merge_limits import ALONE, CARRIED, NEVER
from inference_worker.contracts.merge_output import PLAIN_OUTPUT, MergeOutput
from inference_worker.contracts.module_selectors import select_modules
from inference_worker.errors import BadInput, Refused

#: The group of modules that stand in no layer.
OUTSIDE = -1


class WeightedSum:
    """Adapters on a model, mixed by ``weights`` (groups, K): module m computes y + Σᵢ weights[group(m), i] · Bᵢ(Aᵢ x).

    A group is a layer, the modules outside of layers being one more. Only modules that ``output`` has take part. Use it
    as a context manager: hooks come off at the end. Raises ``Refused`` for what is no sum of low-rank updates and
    ``BadInput`` for modules the base lacks, or if none is left.
    """

    def __init__(
        self, layers: Mapping[str, nn.Module], readers: Sequence[AdapterReader], output: MergeOutput = PLAIN_OUTPUT
    ) -> None:
        self._owned = [select_modules(reader.modules, output.include, output.exclude) for reader in readers]
        for reader, owned in zip(readers, self._owned, strict=True):
            _check(reader, owned, layers)
        self.names = sorted({name for owned in self._owned for name in owned}, key=natural_order)
        if not self.names:
            raise nothing_left()
        self.groups = sorted({layer_of(name) for name in self.names})
        place = next(iter(layers.values())).weight
        assert isinstance(place, Tensor)
        self.weights = torch.ones(len(self.groups), len(readers), device=place.device)
        self._hooks = [
            layers[name].register_forward_hook(self._hook(name, readers, place.device)) for name in self.names
        ]

    def selectors(self, member: int, group: int) -> list[str]:
        """Selectors of the modules of one adapter in a group: the layer, if it has any there; what stands outside of
        layers is named as it is."""
        names = [name for name in self._owned[member] if layer_of(name) == group]
        return names if group == OUTSIDE else [str(group)] if names else []

    def set(self, weights: Tensor) -> None:
        """``weights`` (groups, K), or (K,) for all groups alike; may carry gradients."""
        self.weights = weights.expand(len(self.groups), -1)

    def _hook(self, name: str, readers: Sequence[AdapterReader], device: torch.device) -> Any:
        group = self.groups.index(layer_of(name))
        factors = [(i, reader.read(name)) for i, reader in enumerate(readers) if name in reader.modules]
        a = torch.cat([pair.A for _, pair in factors]).to(device)  # (n, d_in)
        b = torch.cat([pair.B for _, pair in factors], dim=1).to(device)  # (d_out, n)
        owner = torch.tensor([i for i, pair in factors for _ in range(pair.A.shape[0])], device=device)

        def add(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            units = inputs[0].to(a.dtype) @ a.T * self.weights[group, owner]
            return output + (units @ b.T).to(output.dtype)

        return add

    def __enter__(self) -> WeightedSum:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for hook in self._hooks:
            hook.remove()


def layer_of(name: str) -> int:
    """The number of the transformer layer that a module stands in; OUTSIDE for one that stands in none."""
    return next((int(part) for part in name.split(".") if part.isdecimal()), OUTSIDE)


def _check(reader: AdapterReader, names: Sequence[str], layers: Mapping[str, nn.Module]) -> None:
    beyond = [feature for feature in reader.features if feature in NEVER or feature in ALONE or feature in CARRIED]
    if beyond:
        named = ", ".join(beyond)
        message = f"{reader.label} cannot be weighed by examples: it has more than low-rank updates ({named})"
        raise Refused(message, code="refused_features", extra={"adapter": reader.label})
    for name in names:
        if reader.modules[name].kind != "linear" or name not in layers:
            message = f"{reader.label} changes {name}, which is no linear module of the base"
            raise BadInput(message, code="module_missing", extra={"adapter": reader.label, "module": name})
