"""Exact match kept by LoRA-LEGO's variants, beside exact sums, on the shipped testbed's unseen wordings.

    python -m inference_worker bench lego_options [--size 2] [--groups 8] [--count 40] [--rank 8]

Each variant merges the same random groups of adapters; the figure is the mean share of each adapter's own accuracy that
is left after merging.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict
from itertools import combinations
from pathlib import Path
from random import Random
from typing import Any

import torch
from peft import PeftModel
from tokenizers import Tokenizer
from transformers import LlamaForCausalLM

from inference_worker.adapter_format import open_directory
from inference_worker.merging import merge_adapters
from inference_worker.testbed.evaluate import exact_match, task_examples
from inference_worker.testbed.library import adapter_named
from inference_worker.testbed.manifest import SHIPPED, read_manifest
from inference_worker.testbed.tasks import TASKS

LENGTHS = (3, 4, 5)
#: Words -> method, weight of each of n adapters, options.
VARIANTS: dict[str, tuple[str, Any, dict[str, Any]]] = {
    "lego": ("lego", lambda n: 1.0, {}),
    "lego, inf norm": ("lego", lambda n: 1.0, {"parameter_reweighting": "inf"}),
    "lego, no parameter reweighting": ("lego", lambda n: 1.0, {"parameter_reweighting": "none"}),
    "lego, no output reweighting": ("lego", lambda n: 1.0, {"output_reweighting": False}),
    "lego, normalised": ("lego", lambda n: 1.0, {"normalise": True}),
    "lego, 1 restart": ("lego", lambda n: 1.0, {"restarts": 1}),
    "lego, 16 restarts": ("lego", lambda n: 1.0, {"restarts": 16}),
    "svd of the sum": ("svd", lambda n: 1.0, {}),
    "svd of the average": ("svd", lambda n: 1.0 / n, {}),
    "linear average": ("linear", lambda n: 1.0 / n, {}),
    "cat, sum": ("cat", lambda n: 1.0, {}),
    "cat, average": ("cat", lambda n: 1.0 / n, {}),
}


def accuracy(directory: Path, names: list[str], tokenizer: Tokenizer, count: int) -> list[float]:
    """Exact match of the adapter in ``directory`` on each named adapter's task."""
    base = LlamaForCausalLM.from_pretrained(SHIPPED / "base", dtype=torch.float32)
    model = PeftModel.from_pretrained(base, str(directory)).eval().get_base_model()
    examples = (task_examples(TASKS[adapter_named(n).task], count, 1, unseen=True, lengths=LENGTHS) for n in names)
    return [exact_match(model, tokenizer, list(items)) for items in examples]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=2, help="adapters per merge")
    parser.add_argument("--groups", type=int, default=8, help="merges to try, drawn at random")
    parser.add_argument("--count", type=int, default=40, help="examples per task")
    parser.add_argument("--rank", type=int, default=8, help="rank of the results of lego and svd")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    tokenizer = Tokenizer.from_file(str(SHIPPED / "base" / "tokenizer.json"))
    folder = SHIPPED / "adapters"
    names = read_manifest()["adapters"]
    own = {name: accuracy(folder / name, [name], tokenizer, args.count)[0] for name in names}
    print("own accuracy:", ", ".join(f"{name} {score:.2f}" for name, score in own.items()), flush=True)
    # Of an adapter that fails its own task alone, nothing can be kept.
    able = [name for name in names if own[name] >= 0.5]
    possible = list(combinations(able, args.size))
    groups = Random(args.seed).sample(possible, min(args.groups, len(possible)))
    kept: dict[str, list[float]] = defaultdict(list)
    for group in groups:
        readers = [open_directory(folder / name) for name in group]
        for label, (method, weight, options) in VARIANTS.items():
            started = time.monotonic()
            rank = args.rank if method in ("lego", "svd") else None
            weights = [weight(args.size)] * args.size
            with tempfile.TemporaryDirectory() as out:
                merge_adapters(readers, weights, method, out, rank=rank, options=options, dtype="float32")
                scores = accuracy(Path(out), list(group), tokenizer, args.count)
            kept[label] += [score / own[name] for score, name in zip(scores, group, strict=True)]
            line = f"{' + '.join(group)}: {label} {' '.join(f'{score:.2f}' for score in scores)}"
            print(f"{line} ({time.monotonic() - started:.1f} s)", flush=True)
    for label, shares in kept.items():
        print(f"{label}: {sum(shares) / len(shares):.3f}")


if __name__ == "__main__":
    main()
