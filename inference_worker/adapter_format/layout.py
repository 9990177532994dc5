"""What config and header say together: the modules an adapter changes, and the tensors beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from inference_worker.adapter_format.header import TensorEntry
from inference_worker.adapter_format.keys import Part
from inference_worker.contracts.common import Problem

ModuleKind = Literal["linear", "embedding"]


@dataclass(frozen=True, slots=True)
class ModuleInfo:
    """One adapted module. Δ = scale · B·A with A: (rank, d_in), B: (d_out, rank), whatever layout the base's own
    weight has (nn.Linear and Conv1D alike); for an embedding d_in is the vocabulary and Δ is transposed."""

    name: str
    rank: int
    d_in: int
    d_out: int
    scale: float
    kind: ModuleKind
    a: TensorEntry
    b: TensorEntry
    bias: TensorEntry | None = None  # lora_bias, (d_out,)
    magnitude: TensorEntry | None = None  # DoRA, (d_out,)

    @property
    def dtype(self) -> str:
        return self.a.dtype

    @property
    def parameters(self) -> int:
        return self.rank * (self.d_in + self.d_out)


@dataclass
class Layout:
    """``modules`` in natural order of their names; ``extras`` are tensors beside LoRA factors (name inside the base ->
    entry), ``carried`` those of them that the config accounts for; ``odd`` are factors in shapes of their own, by
    module; ``features`` name what a plain LoRA does not have."""

    modules: dict[str, ModuleInfo] = field(default_factory=dict)
    extras: dict[str, TensorEntry] = field(default_factory=dict)
    carried: set[str] = field(default_factory=set)
    odd: dict[str, Mapping[Part, TensorEntry]] = field(default_factory=dict)
    features: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def add_feature(self, feature: str) -> bool:
        """Whether the feature is new."""
        new = feature not in self.features
        if new:
            self.features.append(feature)
        return new


def natural_order(name: str) -> tuple[tuple[int, int | str], ...]:
    """Sort key that puts layer 2 before layer 10."""
    return tuple((0, int(part)) if part.isdecimal() else (1, part) for part in name.split("."))
