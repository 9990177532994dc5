"""Adapters to upload: the shipped ones, changed a little, so that their bytes are new to the site."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from tests.browser.conftest import SHIPPED

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


def make_adapter(folder: Path, name: str = "opposites", factor: float = 1.0, **config: object) -> list[Path]:
    """Write the shipped adapter ``name`` with weights times ``factor`` and ``config`` changed; return its files."""
    folder.mkdir(parents=True, exist_ok=True)
    source = SHIPPED / "adapters" / name
    tensors = {key: (value.float() * factor).to(value.dtype) for key, value in load_file(source / WEIGHTS).items()}
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    changed = json.loads((source / CONFIG).read_text()) | config
    (folder / CONFIG).write_text(json.dumps(changed))
    return [folder / CONFIG, folder / WEIGHTS]


def spoil(weights: Path) -> None:
    """Put one NaN into the first tensor."""
    tensors = load_file(weights)
    first = sorted(tensors)[0]
    tensors[first] = tensors[first].clone()
    tensors[first].view(-1)[0] = torch.nan
    save_file(tensors, weights, metadata={"format": "pt"})


def zipped(files: list[Path], target: Path) -> Path:
    with zipfile.ZipFile(target, "w") as archive:
        for file in files:
            archive.write(file, file.name)
    return target
