"""Time merges of eight Mistral-7B-shaped adapters through the command line, as whole processes.

    python -m inference_worker bench merge [--methods lego,svd] [--repeat 3] [--threads 2] [--layers 32]

Makes random adapters (rank 16, bfloat16, all seven linear modules of every layer) in a temporary folder, merges them
with ``python -m inference_worker merge`` and reports wall time, processor time and peak resident memory per process,
as the kernel counted them (wait4).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from inference_worker.adapter_format import AdapterWriter, Factors, ModulePlan
from inference_worker.contracts.merge_methods import METHODS

#: Linear modules of one Mistral-7B layer: name -> (d_out, d_in).
SHAPES = {
    "self_attn.q_proj": (4096, 4096),
    "self_attn.k_proj": (1024, 4096),
    "self_attn.v_proj": (1024, 4096),
    "self_attn.o_proj": (4096, 4096),
    "mlp.gate_proj": (14336, 4096),
    "mlp.up_proj": (14336, 4096),
    "mlp.down_proj": (4096, 14336),
}


def make_adapter(directory: Path, seed: int, layers: int, rank: int) -> None:
    """A random adapter; values have the spread of trained ones."""
    generator = torch.Generator().manual_seed(seed)
    plans = [
        ModulePlan(f"model.layers.{layer}.{name}", rank, d_in, d_out)
        for layer in range(layers)
        for name, (d_out, d_in) in SHAPES.items()
    ]
    with AdapterWriter(directory, plans, torch.bfloat16) as writer:
        for plan in plans:
            a = torch.randn(rank, plan.d_in, generator=generator) * 0.02
            b = torch.randn(plan.d_out, rank, generator=generator) * 0.02
            writer.add(plan.name, Factors(a, b))
        targets = sorted(name.rpartition(".")[2] for name in SHAPES)
        writer.finish({"base_model_name_or_path": "mistralai/Mistral-7B-v0.1", "target_modules": targets})


def measure(command: list[str], environment: dict[str, str]) -> dict[str, float]:
    """Run a process to its end: seconds by the clock, seconds of processor, peak resident MB."""
    started = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return {
        "seconds": round(time.perf_counter() - started, 2),
        "processor_seconds": round(usage.ru_utime + usage.ru_stime, 2),
        "peak_mb": round(usage.ru_maxrss / 1024, 1),
    }


def run(arguments: argparse.Namespace) -> list[dict[str, object]]:
    environment = {**os.environ, "OMP_NUM_THREADS": str(arguments.threads), "OMP_WAIT_POLICY": "PASSIVE"}
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory(prefix="brickyard-bench-", dir=arguments.dir) as folder:
        adapters = [Path(folder) / f"adapter{index}" for index in range(arguments.adapters)]
        for seed, path in enumerate(adapters):
            make_adapter(path, seed, arguments.layers, arguments.rank)
        for method in arguments.methods.split(","):
            rank = ["--rank", str(arguments.rank)] if METHODS[method].rank == "choose" else []
            out = str(Path(folder) / f"merged-{method}")
            command = [sys.executable, "-m", "inference_worker", "merge", "--method", method, *rank, "--out", out]
            for _ in range(arguments.repeat):
                figures = measure([*command, *map(str, adapters)], environment)
                row = {"method": method, **figures, "load": round(os.getloadavg()[0], 2)}
                rows.append(row)
                print(json.dumps(row), flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", default="lego,svd")
    parser.add_argument("--adapters", type=int, default=8)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--layers", type=int, default=32)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--dir", help="where the temporary folder goes (needs about 1 GB)")
    run(parser.parse_args())


if __name__ == "__main__":
    main()
