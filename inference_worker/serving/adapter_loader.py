"""From an adapter's files to factors on the engine's device, checked against the base that will run them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor
from transformers.pytorch_utils import Conv1D

from inference_worker.adapter_format.layout import ModuleInfo
from inference_worker.adapter_format.reader import AdapterReader, open_adapter
from inference_worker.contracts.adapter_uses import NOT_SERVED, why_not_generated
from inference_worker.errors import BadInput, Refused
from inference_worker.mixing.composition import ModuleFactors
from inference_worker.serving.base_loader import LoadedBase
from inference_worker.serving.loaded_adapter import LoadedAdapter
from inference_worker.serving.multi_adapter_linear import MultiAdapterLinear


def load_adapter(config_path: str | Path, weights_path: str | Path, label: str, base: LoadedBase) -> LoadedAdapter:
    """Read every module of an adapter to the base's device and dtype.

    Raises ``Refused`` naming the feature that the engine cannot represent, and ``BadInput`` when the files are not an
    adapter or do not fit the base.
    """
    try:
        reader = open_adapter(config_path, weights_path, label)
    except FileNotFoundError as error:
        raise BadInput(f"The adapter {label} has no file {error.filename}.", code="adapter_missing") from error
    with reader:
        refuse_features(reader, base)
        check_fits(reader, base.layers)
        modules = {
            name: _read_module(reader, name, base.layers[name], base.device, base.dtype) for name in reader.modules
        }
    return LoadedAdapter(label, modules)


def refuse_features(reader: AdapterReader, base: LoadedBase) -> None:
    """Raise ``Refused`` for tasks that write no text and for whatever a row's low-rank update cannot represent."""
    reason = why_not_generated(reader.config.task_type, reader.features)
    if not reason and "full_embedding" in reader.features:
        # PEFT saves the base's own matrix beside an adapted lm_head; it changes nothing.
        own = all(_is_the_bases(reader, name, base) for name in reader.carried)
        reason = "" if own else NOT_SERVED["full_embedding"]
    if reason:
        raise Refused(
            f"The adapter {reader.label} is stored but cannot be generated with: {reason}.",
            code="not_served",
            extra={"adapter": reader.label, "task": reader.config.task_type, "features": list(reader.features)},
        )


def check_fits(reader: AdapterReader, layers: Mapping[str, MultiAdapterLinear]) -> None:
    """Raise ``BadInput`` listing the modules that the base lacks or has in another shape."""
    unknown = [name for name in reader.modules if name not in layers]
    if unknown:
        raise BadInput(
            f"The adapter {reader.label} does not fit this base: {_few(unknown)} not among its linear modules.",
            code="wrong_base",
            extra={"adapter": reader.label, "modules": unknown[:50]},
        )
    differing = [name for name, info in reader.modules.items() if _shape(info) != _layer_shape(layers[name])]
    if differing:
        first = differing[0]
        raise BadInput(
            f"The adapter {reader.label} does not fit this base: {_few(differing)} of another shape, for example "
            f"{first} with {_shape(reader.modules[first])} instead of {_layer_shape(layers[first])} (out, in).",
            code="wrong_base",
            extra={"adapter": reader.label, "modules": differing[:50]},
        )


def dora_gain(weight: Tensor, A: Tensor, B: Tensor, magnitude: Tensor) -> Tensor:
    """``m / ‖W + BA‖_row`` (d_out,) without building BA: W (d_out, d_in), A (r, d_in), B (d_out, r), m (d_out,).

    ``‖w + bA‖² = ‖w‖² + 2 b·(A w) + b (A Aᵀ) bᵀ`` row by row, so memory and time stay linear in the rank.
    """
    squared = weight.square().sum(dim=1)
    squared += 2.0 * (B * (weight @ A.T)).sum(dim=1)
    squared += (B * (B @ (A @ A.T))).sum(dim=1)
    return magnitude / squared.clamp_min(torch.finfo(squared.dtype).tiny).sqrt()


def _is_the_bases(reader: AdapterReader, name: str, base: LoadedBase) -> bool:
    """Whether a tensor beside the factors is the base's own weight, up to the rounding of the dtype it is stored in."""
    module_name, _, leaf = name.removeprefix("base_model.model.").rpartition(".")
    try:
        own = getattr(base.model.get_submodule(module_name.removesuffix(".base_layer")), leaf)
    except AttributeError:
        return False
    stored = reader.read_extra(name).to(own.device, own.dtype)
    return stored.shape == own.shape and torch.allclose(stored, own, rtol=1e-2, atol=1e-3)


def _read_module(
    reader: AdapterReader, name: str, layer: MultiAdapterLinear, device: torch.device, dtype: torch.dtype
) -> ModuleFactors:
    A, B = reader.read(name)
    A, B = A.to(device), B.to(device)
    magnitude = reader.modules[name].magnitude
    if magnitude is None:
        return ModuleFactors(A.to(dtype), B.to(dtype))
    m = reader.file.read(magnitude).to(device, torch.float32).reshape(-1)
    weight = layer.weight.T if isinstance(layer.base, Conv1D) else layer.weight
    gain = dora_gain(weight.to(torch.float32), A, B, m)
    return ModuleFactors(A.to(dtype), (B * gain[:, None]).to(dtype), gain)


def _shape(info: ModuleInfo) -> tuple[int, int]:
    return info.d_out, info.d_in


def _layer_shape(layer: MultiAdapterLinear) -> tuple[int, int]:
    return layer.d_out, layer.d_in


def _few(names: list[str]) -> str:
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return f"{shown} {'is' if len(names) == 1 else 'are'}"
