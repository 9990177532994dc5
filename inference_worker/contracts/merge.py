"""Merge: combine adapters into a new one (kind ``merge``)."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from inference_worker.contracts.common import AdapterFiles, Contract, OutputFile

OutputDtype = Literal["bfloat16", "float16", "float32", "same"]


class MergeRequest(Contract):
    """``rank`` None leaves the choice to the method; ``options`` are the method's own, checked by the registry."""

    adapters: tuple[AdapterFiles, ...] = Field(min_length=1, max_length=64)
    weights: tuple[float, ...]
    method: str
    rank: int | None = Field(default=None, ge=1, le=4096)
    dtype: OutputDtype = "same"
    seed: int = 0
    options: dict[str, Any] = {}

    @model_validator(mode="after")
    def _one_weight_each(self) -> MergeRequest:
        if len(self.weights) != len(self.adapters):
            raise ValueError(f"{len(self.weights)} weights for {len(self.adapters)} adapters: give one weight each")
        return self


class MergedModule(Contract):
    """Per module: output rank, relative truncation error ‖Δ_out − Σwᵢ Δᵢ‖/‖Σwᵢ Δᵢ‖ where the method approximates the
    sum (None where it means to differ from it), and the method's own detail (LoRA-LEGO: its clusters)."""

    name: str
    rank: int
    error: float | None = None
    detail: dict[str, Any] = {}


class MergeResult(Contract):
    """``files`` holds ``adapter_config.json``, ``adapter_model.safetensors``, ``recipe.json`` and, where the method
    has detail, ``merge_report.json``."""

    files: tuple[OutputFile, ...]
    recipe: dict[str, Any]
    modules: int
    rank: int
    seconds: float
