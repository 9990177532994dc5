"""What an export needs of memory does not grow with the model."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_PROGRAM = """
import json, struct, sys
from pathlib import Path
import torch
from transformers import LlamaConfig
from inference_worker.adapter_format import Factors, open_directory, write_adapter
from inference_worker.contracts.common import BaseFiles
from inference_worker.exporting.merged import export_merged
from inference_worker.exporting.targets import FolderTarget

WIDTH, INNER = 512, 2048


def base(folder, layers):
    # A checkpoint of zeros, written without a model.
    config = LlamaConfig(vocab_size=1000, hidden_size=WIDTH, intermediate_size=INNER, num_hidden_layers=layers,
                         num_attention_heads=8, num_key_value_heads=8, tie_word_embeddings=False)
    config.save_pretrained(folder)
    ends = ("model.embed_tokens.weight", "lm_head.weight")
    shapes = {"model.norm.weight": (WIDTH,)} | {name: (1000, WIDTH) for name in ends}
    for layer in range(layers):
        name = f"model.layers.{layer}."
        shapes |= {f"{name}self_attn.{part}_proj.weight": (WIDTH, WIDTH) for part in "qkvo"}
        shapes |= {f"{name}mlp.{part}_proj.weight": (INNER, WIDTH) for part in ("gate", "up")}
        shapes |= {f"{name}mlp.down_proj.weight": (WIDTH, INNER)}
        shapes |= {f"{name}{norm}_layernorm.weight": (WIDTH,) for norm in ("input", "post_attention")}
    table, position = {}, 0
    for name, shape in shapes.items():
        size = 4 * torch.Size(shape).numel()
        table[name] = {"dtype": "F32", "shape": shape, "data_offsets": [position, position + size]}
        position += size
    header = json.dumps(table).encode()
    with open(folder / "model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        file.truncate(8 + len(header) + position)
    return position


def peak():
    line = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


torch.set_num_threads(1)
root = Path(sys.argv[1])
for layers in (2, 2, 24):
    folder = root / str(layers)
    folder.mkdir(exist_ok=True)
    size = base(folder, layers)
    modules = {f"model.layers.{layer}.mlp.up_proj": Factors(torch.randn(8, WIDTH), torch.randn(INNER, 8))
               for layer in range(layers)}
    write_adapter(folder / "adapter", modules)
    open("/proc/self/clear_refs", "w").write("5")  # Start the peak anew.
    with open_directory(folder / "adapter") as reader:
        export_merged(reader, BaseFiles(name="zeros", source=str(folder)), FolderTarget(folder / "out"),
                      shard_bytes=50_000_000)
    print(round(size / 1e6), round(peak()))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
def test_peak_memory_is_that_of_a_block(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", _PROGRAM, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    rows = [[int(number) for number in line.split()] for line in done.stdout.splitlines()]
    (_, _), (small, less), (large, more) = rows
    assert large > small + 300
    # Ten times the model; what is left is the names of its tensors, and which of the libraries' pages the kernel keeps.
    assert more - less < 100, rows
