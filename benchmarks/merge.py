"""Time merges of Mistral-7B-shaped adapters: whole processes, and single modules beside PEFT and scikit-learn.

    python -m inference_worker bench merge [--adapters 2 8 32] [--methods lego,svd,ties:space=core] [--repeat 3]
        [--layers 32] [--parts processes scaling modules] [--threads 2] [--device cpu] [--json FILE] [--quick]

processes: random adapters (rank 16, bfloat16, all seven linear modules of every layer) in a temporary folder are merged
with ``python -m inference_worker merge``; wall time, processor time and peak resident memory of each process as the
kernel counted them (wait4). scaling: the same for fewer layers. modules: see ``_merge_peers``; one thread.
--quick takes small shapes and one run of each, for the tests.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from benchmarks._merge_peers import Row, Shape, compare_lego, compare_svd
from inference_worker.adapter_format import AdapterWriter, Factors, ModulePlan
from inference_worker.contracts.merge_methods import METHODS

PARTS = ("processes", "scaling", "modules")
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


def make_adapter(directory: Path, seed: int, layers: int, rank: int, shapes: Mapping[str, Shape]) -> None:
    """A random adapter; values have the spread of trained ones."""
    generator = torch.Generator().manual_seed(seed)
    plans = [
        ModulePlan(f"model.layers.{layer}.{name}", rank, d_in, d_out)
        for layer in range(layers)
        for name, (d_out, d_in) in shapes.items()
    ]
    with AdapterWriter(directory, plans, torch.bfloat16) as writer:
        for plan in plans:
            a = torch.randn(rank, plan.d_in, generator=generator) * 0.02
            b = torch.randn(plan.d_out, rank, generator=generator) * 0.02
            writer.add(plan.name, Factors(a, b))
        targets = sorted(name.rpartition(".")[2] for name in SHAPES)
        writer.finish({"base_model_name_or_path": "mistralai/Mistral-7B-v0.1", "target_modules": targets})


#: Starts a process and prints what it used. A process counts the memory of whoever started it until it is its own
#: program, so a large benchmark must not start what it measures.
STARTER = """
import json, os, sys, time
started = time.perf_counter()
quiet = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=quiet)
_, status, usage = os.wait4(child, 0)
print(json.dumps([os.waitstatus_to_exitcode(status), time.perf_counter() - started,
                  usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024]))
"""


def measure(command: list[str], environment: dict[str, str]) -> dict[str, float]:
    """Run a process to its end: seconds by the clock, seconds of processor, peak resident MB."""
    starter = [sys.executable, "-S", "-E", "-c", STARTER]
    done = subprocess.run([*starter, *command], env=environment, stdout=subprocess.PIPE, check=True)
    code, seconds, processor, peak = json.loads(done.stdout)
    if code != 0:
        raise SystemExit(f"{' '.join(command)} ended with {code}")
    return {"seconds": round(seconds, 2), "processor_seconds": round(processor, 2), "peak_mb": round(peak, 1)}


@dataclass(frozen=True)
class Sizes:
    """What is merged: layers, rank, the shapes of a layer, and those set beside PEFT for the usual count and others."""

    layers: int
    fewer: tuple[int, ...]
    rank: int
    shapes: Mapping[str, Shape]
    all_shapes: tuple[Shape, ...]
    some_shapes: tuple[Shape, ...]


def mistral(layers: int, rank: int) -> Sizes:
    shapes = tuple(dict.fromkeys(SHAPES.values()))
    fewer = tuple(n for n in (layers // 4, layers // 2) if n)
    return Sizes(layers, fewer, rank, SHAPES, shapes, tuple(shape for shape in shapes if max(shape) <= 4096))


def quick() -> Sizes:
    shapes = {name: (d_out // 8, d_in // 8) for name, (d_out, d_in) in SHAPES.items()}
    return Sizes(96, (24,), 16, shapes, ((512, 512), (1792, 512)), ((512, 512),))


def merge_processes(
    folder: Path, methods: Sequence[str], adapters: int, layers: int, sizes: Sizes, repeat: int, threads: int
) -> list[Row]:
    """Rows of whole merges of adapters that are made in ``folder``, where they are missing."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"}
    paths = [folder / f"{layers}-{index}" for index in range(adapters)]
    for seed, path in enumerate(paths):
        if not path.exists():
            make_adapter(path, seed, layers, sizes.rank, sizes.shapes)
    read = sum(file.stat().st_size for path in paths for file in path.iterdir())
    rows: list[Row] = []
    for spoken in methods:
        method, *settings = spoken.split(":")
        rank = ["--rank", str(sizes.rank)] if METHODS[method].rank == "choose" else []
        options = [word for setting in settings for word in ("--option", setting)]
        out = folder / "merged"
        command = [sys.executable, "-m", "inference_worker", "merge", "--method", method, *options, *rank]
        for _ in range(repeat):
            figures = measure([*command, "--out", str(out), *map(str, paths)], environment)
            row: Row = {"method": spoken, "adapters": adapters, "layers": layers, "megabytes": round(read / 1e6, 1)}
            rows.append({**row, **figures, "load": round(os.getloadavg()[0], 2)})
            print(json.dumps(rows[-1]), flush=True)
        shutil.rmtree(out)
    return rows


def run(arguments: argparse.Namespace) -> dict[str, list[Row]]:
    """All parts asked for. Peers are compared for every shape at the second number of adapters, or the only one."""
    sizes = quick() if arguments.quick else mistral(arguments.layers, arguments.rank)
    counts, methods = arguments.adapters, arguments.methods.split(",")
    usual = counts[min(1, len(counts) - 1)]
    found: dict[str, list[Row]] = {part: [] for part in arguments.parts}
    with tempfile.TemporaryDirectory(prefix="brickyard-bench-", dir=arguments.dir) as name:
        whole = partial(merge_processes, Path(name), sizes=sizes, repeat=arguments.repeat, threads=arguments.threads)
        if "processes" in found:
            for count in counts:
                found["processes"] += whole(methods=methods, adapters=count, layers=sizes.layers)
        if "scaling" in found:
            for layers in (*sizes.fewer, sizes.layers):
                found["scaling"] += whole(methods=methods[:1], adapters=usual, layers=layers)
    if "modules" in found:
        torch.set_num_threads(1)
        for count in counts:
            shapes = sizes.all_shapes if count == usual else sizes.some_shapes
            for rows in (
                compare_lego(count, sizes.all_shapes, sizes.rank, arguments.device),
                compare_svd(count, shapes, sizes.rank, arguments.device),
            ):
                found["modules"] += rows
                print(*map(json.dumps, rows), sep="\n", flush=True)
    return found


def markdown(rows: Sequence[Row]) -> str:
    """Rows as a table; keys that some rows lack stay empty there."""
    keys = list(dict.fromkeys(key for row in rows for key in row))
    lines = [f"| {' | '.join(keys)} |", "|" + " --- |" * len(keys)]
    lines += [f"| {' | '.join(str(row.get(key, '')) for key in keys)} |" for row in rows]
    return "\n".join(lines)


def options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--methods",
        default="lego,svd,cat,linear",
        help="METHOD[:OPTION=VALUE]…; the first is the one that is scaled",
    )
    parser.add_argument("--adapters", type=int, nargs="+", default=[2, 8, 32], help="how many are merged")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--layers", type=int, default=32)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2, help="of the processes; modules are timed on one")
    parser.add_argument("--device", default="cpu", help="where modules are merged")
    parser.add_argument("--dir", help="where the temporary folder goes (32 adapters need about 4 GB)")
    parser.add_argument("--json", type=Path, help="write all rows there")
    parser.add_argument("--quick", action="store_true", help="small shapes")
    return parser


def main() -> None:
    arguments = options().parse_args()
    found = run(arguments)
    for part, rows in found.items():
        print(f"\n{part}\n\n{markdown(rows)}")
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
