"""What an operator decides about the engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from inference_worker.errors import BadInput

GIB = 1 << 30
ENVIRONMENT_PREFIX = "ENGINE_"

DeviceName = Literal["auto", "cpu", "cuda"]
DtypeName = Literal["auto", "float32", "bfloat16", "float16"]


class EngineSettings(BaseModel):
    """``auto`` is the first CUDA device when there is one, else the CPU; dtype ``auto`` is the checkpoint's own on CUDA
    and float32 on the CPU, where half precision is slower and less exact."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: DeviceName = "auto"
    dtype: DtypeName = "auto"
    #: Rows that decode together.
    max_rows: int = Field(default=32, ge=1)
    #: Requests that may wait per base before further ones are turned away.
    max_waiting: int = Field(default=256, ge=1)
    #: Padded tokens (rows × longest row, prompt and answer) that the key/value cache may come to hold.
    max_cache_tokens: int = Field(default=131_072, ge=1)
    #: Padded prompt tokens that are computed in one prefill.
    max_prefill_tokens: int = Field(default=16_384, ge=1)
    max_adapters_per_request: int = Field(default=64, ge=1)
    adapter_cache_bytes: int = Field(default=2 * GIB, ge=0)
    base_cache_bytes: int = Field(default=16 * GIB, ge=0)
    #: How many adapters, and how many bases, are fetched and read at a time beside the engines.
    loader_threads: int = Field(default=4, ge=1)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> EngineSettings:
        """Read ``ENGINE_DEVICE``, ``ENGINE_DTYPE`` and so on; raises ``BadInput`` naming what is wrong."""
        given = {
            name: environment[ENVIRONMENT_PREFIX + name.upper()]
            for name in cls.model_fields
            if environment.get(ENVIRONMENT_PREFIX + name.upper())
        }
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            faults = "; ".join(
                f"{ENVIRONMENT_PREFIX}{str(fault['loc'][0]).upper()}: {fault['msg']}" for fault in error.errors()
            )
            raise BadInput(f"The engine's settings are not valid: {faults}.", code="bad_settings") from error

    def resolve_device(self) -> torch.device:
        """The device to compute on; raises ``BadInput`` when CUDA is asked for and absent."""
        available = torch.cuda.is_available()
        if self.device == "cuda" and not available:
            raise BadInput(
                "The engine's device is set to cuda, but this process sees no CUDA device. "
                "Set ENGINE_DEVICE to auto or cpu, or give the process a device.",
                code="no_cuda",
            )
        return torch.device("cuda" if available and self.device != "cpu" else "cpu")

    def resolve_dtype(self, device: torch.device, checkpoint: torch.dtype) -> torch.dtype:
        """The dtype to compute in, given the checkpoint's."""
        if self.dtype != "auto":
            chosen: torch.dtype = getattr(torch, self.dtype)
            return chosen
        return checkpoint if device.type == "cuda" else torch.float32
