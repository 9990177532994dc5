"""An adapter in memory."""

from __future__ import annotations

from dataclasses import dataclass

from inference_worker.contracts.common import AdapterFiles
from inference_worker.mixing.composition import ModuleFactors

AdapterKey = tuple[str, str]


@dataclass(frozen=True, eq=False)
class LoadedAdapter:
    """An adapter's factors on the engine's device, by module name. It takes Σ r (d_in + d_out) numbers."""

    label: str
    modules: dict[str, ModuleFactors]

    @property
    def nbytes(self) -> int:
        return sum(factors.nbytes for factors in self.modules.values())


def adapter_key(files: AdapterFiles) -> AdapterKey:
    """Equal bytes are one adapter, whatever its label."""
    return files.config, files.weights
