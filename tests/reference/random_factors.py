"""Random adapters without a model, written with our own writer: quick to make, any shape."""

from __future__ import annotations

from pathlib import Path

import torch

from inference_worker.adapter_format import Factors, write_adapter
from inference_worker.adapter_format.reader import AdapterReader, open_directory

MODULES = tuple(f"model.layers.{layer}.self_attn.{name}_proj" for layer in range(2) for name in ("q", "v"))


def random_factors(seed: int, rank: int, d_in: int = 24, d_out: int = 40) -> Factors:
    generator = torch.Generator().manual_seed(seed)
    return Factors(torch.randn(rank, d_in, generator=generator), torch.randn(d_out, rank, generator=generator))


def write_random(directory: Path, seed: int, rank: int = 4, modules: tuple[str, ...] = MODULES) -> AdapterReader:
    factors = {name: random_factors(1000 * seed + index, rank) for index, name in enumerate(modules)}
    return write_factors(directory, factors)


def write_factors(directory: Path, factors: dict[str, Factors]) -> AdapterReader:
    targets = sorted({name.rpartition(".")[2] for name in factors})
    write_adapter(directory, factors, base_model_name="tiny", settings={"target_modules": targets})
    return open_directory(directory)


def deltas(reader: AdapterReader) -> dict[str, torch.Tensor]:
    return {name: (lambda f: f.B.double() @ f.A.double())(reader.read(name)) for name in reader.modules}
