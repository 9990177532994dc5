"""Open an adapter and read it module by module in canonical form: Δ = B·A, the scale already inside."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from inference_worker.adapter_format.assembly import build_layout
from inference_worker.adapter_format.config import AdapterConfig, read_config
from inference_worker.adapter_format.faults import Unreadable, error, raise_for_errors
from inference_worker.adapter_format.header import TensorEntry, read_header
from inference_worker.adapter_format.layout import Layout, ModuleInfo
from inference_worker.adapter_format.names import CONFIG_NAME, WEIGHTS_NAME
from inference_worker.adapter_format.stream import TensorFile
from inference_worker.contracts.common import Problem
from inference_worker.contracts.conversion import conversion_remedy
from inference_worker.errors import BadInput


class Factors(NamedTuple):
    """Canonical factors of one module in float32: Δ = B·A."""

    A: Tensor  # (r, d_in)
    B: Tensor  # (d_out, r)


class AdapterReader:
    """A checked, open adapter. Only headers are in memory; ``read`` fetches one module at a time.

    Use it as a context manager, or ``close`` it.
    """

    def __init__(
        self, label: str, config_path: Path, weights_path: Path, config: AdapterConfig, layout: Layout
    ) -> None:
        self.label = label
        self.config_path = config_path
        self.weights_path = weights_path
        self.config = config
        self.modules: Mapping[str, ModuleInfo] = layout.modules
        self.extras: Mapping[str, TensorEntry] = layout.extras
        self.carried: frozenset[str] = frozenset(layout.carried)
        self.odd = layout.odd
        self.features: tuple[str, ...] = tuple(layout.features)
        self.problems: tuple[Problem, ...] = tuple(layout.problems)
        self.file = TensorFile(weights_path)

    @property
    def raw_config(self) -> Mapping[str, Any]:
        return self.config.raw

    def __enter__(self) -> AdapterReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self.file.close()

    def read(self, name: str) -> Factors:
        """A (r, d_in) and B (d_out, r) of module ``name`` in float32 with Δ = B·A.

        The scale is split evenly between the factors, its sign on B. Raises ``KeyError`` for an unknown module.
        """
        info = self.modules[name]
        root = math.sqrt(abs(info.scale))
        a = self.file.read(info.a).to(torch.float32).mul_(root)
        b = self.file.read(info.b).to(torch.float32).mul_(math.copysign(root, info.scale))
        return Factors(a, b)

    def read_bias(self, name: str) -> Tensor | None:
        """The canonical lora_bias (d_out,) in float32, scale included, or None."""
        info = self.modules[name]
        return None if info.bias is None else self.file.read(info.bias).to(torch.float32).mul_(info.scale)

    def read_extra(self, name: str) -> Tensor:
        """A tensor beside the LoRA factors in its stored type. Raises ``KeyError`` for an unknown name."""
        return self.file.read(self.extras[name])

    def digests(self) -> dict[str, str]:
        """sha256 of both files, recomputed from their bytes."""
        return {"config": file_sha256(self.config_path), "weights": file_sha256(self.weights_path)}


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def open_adapter(config_path: str | Path, weights_path: str | Path, label: str = "") -> AdapterReader:
    """Open a PEFT LoRA adapter for reading.

    Raises ``BadInput`` listing every problem in ``extra["problems"]`` if the files are not a readable adapter, and
    ``FileNotFoundError`` if they do not exist.
    """
    config_path, weights_path = Path(config_path), Path(weights_path)
    label = label or config_path.parent.name or weights_path.name
    try:
        config, _, problems = read_config(config_path)
        raise_for_errors(label, problems)
        layout = build_layout(_present(config), read_header(weights_path))
    except Unreadable as fault:
        raise_for_errors(label, [fault.problem])
        raise
    raise_for_errors(label, layout.problems)
    return AdapterReader(label, config_path, weights_path, _present(config), layout)


def _present(config: AdapterConfig | None) -> AdapterConfig:
    if config is None:  # read_config returns None only together with an error, which has been raised by now
        raise BadInput("adapter_config.json has errors", code="bad_config")
    return config


def open_directory(directory: str | Path, label: str = "") -> AdapterReader:
    """Open the adapter in ``directory``. Raises ``BadInput`` if a file is missing or wrong."""
    directory = Path(directory)
    missing = missing_files(directory)
    raise_for_errors(label or str(directory), missing)
    return open_adapter(directory / CONFIG_NAME, directory / WEIGHTS_NAME, label or directory.name)


def missing_files(directory: Path) -> list[Problem]:
    problems = []
    for name in (CONFIG_NAME, WEIGHTS_NAME):
        if not (directory / name).is_file():
            pickles = sorted(path.name for path in directory.glob("adapter_model.*") if path.name != WEIGHTS_NAME)
            remedy = f"Put the files that PEFT's save_pretrained wrote into {directory}."
            if pickles and name == WEIGHTS_NAME:
                remedy = conversion_remedy(pickles[0])
            problems.append(error("missing_file", name, f"{directory} has no {name}.", remedy))
    return problems
