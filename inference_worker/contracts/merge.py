"""Merge: combine adapters into a new one (kind ``merge``)."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from inference_worker.contracts.common import AdapterFiles, Contract, OutputFile
from inference_worker.contracts.merge_fit import FoundWeights, MergeFit
from inference_worker.contracts.merge_methods import METHODS
from inference_worker.contracts.merge_output import MemberWeights, MergeOutput, OutputDtype, Weight

__all__ = ["MAX_ADAPTERS", "MergeOutput", "MergeRequest", "MergeResult", "MergedModule", "OutputDtype"]

MAX_ADAPTERS = 64


class MergeRequest(Contract):
    """``options`` are the method's own, checked by the registry. ``layer_weights`` is empty, or has one entry per
    adapter: factors on its weight by group of layers or modules. ``fit`` holds the examples for a method that finds the
    weights itself, beginning with those given; without it such a method takes the weights as they are. Examples and
    ``layer_weights`` exclude each other: what is found would take their place."""

    adapters: tuple[AdapterFiles, ...] = Field(min_length=1, max_length=MAX_ADAPTERS)
    weights: tuple[Weight, ...]
    layer_weights: tuple[MemberWeights, ...] = ()
    method: str
    output: MergeOutput = MergeOutput()
    seed: int = 0
    options: dict[str, Any] = {}
    fit: MergeFit | None = None

    @model_validator(mode="before")
    @classmethod
    def _lift_earlier_form(cls, data: Any) -> Any:
        """Plans and requests of earlier versions hold ``rank`` and ``dtype`` beside the method."""
        if not isinstance(data, dict) or not {"rank", "dtype"} & data.keys():
            return data
        if "output" in data:
            raise ValueError("rank and dtype belong into output")
        rest = {key: value for key, value in data.items() if key not in ("rank", "dtype")}
        return rest | {"output": {key: data[key] for key in ("rank", "dtype") if key in data}}

    @model_validator(mode="after")
    def _one_weight_each(self) -> MergeRequest:
        if len(self.weights) != len(self.adapters):
            raise ValueError(f"{len(self.weights)} weights for {len(self.adapters)} adapters: give one weight each")
        if self.layer_weights and len(self.layer_weights) != len(self.adapters):
            raise ValueError(
                f"layer weights for {len(self.layer_weights)} of {len(self.adapters)} adapters: give one list each"
            )
        return self

    @model_validator(mode="after")
    def _fit_that_counts(self) -> MergeRequest:
        info = METHODS.get(self.method)
        if self.fit is not None and info is not None and not info.examples:
            raise ValueError(f"{self.method} takes its weights as given: leave the examples (fit) out")
        if self.fit is not None and self.layer_weights:
            raise ValueError(f"{self.method} finds the weights from the examples (fit): leave layer_weights out")
        return self


class MergedModule(Contract):
    """Per module: output rank, and two relative errors.

    ``error`` is what the method itself lost, ‖Δ_out − Δ‖/‖Δ‖: for methods that approximate the weighted sum, Δ is that
    sum; for elementwise ones it is their own result before they cut it back to a rank (in the space of ``detail``).
    None where the result means to differ and nothing is lost on the way. ``cut`` is ‖Δ_out − Δ_method‖/‖Δ_method‖, of
    cutting the method's result further to the wished rank. ``detail`` is the method's own (LoRA-LEGO: its clusters).
    """

    name: str
    rank: int
    error: float | None = None
    cut: float = 0.0
    detail: dict[str, Any] = {}


class MergeResult(Contract):
    """``files`` holds ``adapter_config.json``, ``adapter_model.safetensors``, ``recipe.json`` and, where the method
    has detail, ``merge_report.json``."""

    files: tuple[OutputFile, ...]
    recipe: dict[str, Any]
    modules: int
    rank: int
    seconds: float
    found: FoundWeights | None = None
