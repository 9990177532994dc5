"""Inspect: check an uploaded adapter and measure it (kind ``inspect``)."""

from __future__ import annotations

from typing import Any

from inference_worker.contracts.common import AdapterFiles, Contract, Problem


class InspectRequest(Contract):
    adapter: AdapterFiles
    #: Module name -> (d_out, d_in) of the base, when the base is known.
    base_shapes: dict[str, tuple[int, int]] | None = None


class ModuleStats(Contract):
    """One adapted module. ``norm`` is the Frobenius norm of Δ; ``effective_rank`` is exp of the entropy of its
    normalised singular values."""

    name: str
    #: ``linear`` or ``embedding``.
    kind: str = "linear"
    rank: int
    d_in: int
    d_out: int
    norm: float
    effective_rank: float


class AdapterSummary(Contract):
    """What was read from the files; shown on the upload page even when there are problems."""

    peft_type: str = ""
    task_type: str = ""
    base_model_name: str = ""
    peft_version: str = ""
    rank: int = 0
    ranks: tuple[int, ...] = ()
    alpha: float = 0.0
    target_modules: tuple[str, ...] = ()
    layers: int = 0
    parameters: int = 0
    dtype: str = ""
    size: int = 0
    features: tuple[str, ...] = ()
    #: Whether text can be generated with it, as far as its files tell; if not, why, as the end of a sentence.
    generates: bool = True
    generates_not: str = ""
    config: dict[str, Any] = {}


class InspectResult(Contract):
    valid: bool
    problems: tuple[Problem, ...] = ()
    summary: AdapterSummary = AdapterSummary()
    modules: tuple[ModuleStats, ...] = ()
    #: 256 numbers, unit length: see ``inference_worker.adapter_format.signature``. Empty when invalid.
    signature: tuple[float, ...] = ()
