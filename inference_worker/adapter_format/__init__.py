"""Read, check and write PEFT adapters module by module. Canonical form: Δ = B·A, scale folded in."""

from inference_worker.adapter_format.config import AdapterConfig
from inference_worker.adapter_format.inspect import inspect_adapter
from inference_worker.adapter_format.layout import ModuleInfo
from inference_worker.adapter_format.reader import AdapterReader, Factors, open_adapter, open_directory
from inference_worker.adapter_format.rewrite import rewrite_adapter
from inference_worker.adapter_format.writer import AdapterWriter, ModulePlan, write_adapter

__all__ = [
    "AdapterConfig",
    "AdapterReader",
    "AdapterWriter",
    "Factors",
    "ModuleInfo",
    "ModulePlan",
    "inspect_adapter",
    "open_adapter",
    "open_directory",
    "rewrite_adapter",
    "write_adapter",
]
