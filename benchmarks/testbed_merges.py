"""Exact match of sums of shipped adapters on unseen wordings, through PEFT's own ``cat``.

Usage: python benchmarks/testbed_merges.py [--size 2] [--count 60] [--seed 0] [--groups 8]
"""

from __future__ import annotations

import argparse
from itertools import combinations
from pathlib import Path
from random import Random

import torch
from peft import PeftModel
from tokenizers import Tokenizer
from transformers import LlamaForCausalLM

from inference_worker.testbed.evaluate import exact_match, task_examples
from inference_worker.testbed.library import adapter_named
from inference_worker.testbed.manifest import SHIPPED, read_manifest
from inference_worker.testbed.tasks import TASKS

LENGTHS = (3, 4, 5)


def load_adapters(names: list[str], directory: Path) -> PeftModel:
    """The base with every named adapter loaded beside it."""
    base = LlamaForCausalLM.from_pretrained(directory / "base", dtype=torch.float32)
    model = PeftModel.from_pretrained(base, directory / "adapters" / names[0], adapter_name=names[0])
    for name in names[1:]:
        model.load_adapter(directory / "adapters" / name, adapter_name=name)
    return model.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=2, help="adapters per merge")
    parser.add_argument("--groups", type=int, default=8, help="merges to try, drawn at random")
    parser.add_argument("--count", type=int, default=60, help="examples per task")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    tokenizer = Tokenizer.from_file(str(SHIPPED / "base" / "tokenizer.json"))
    names = read_manifest()["adapters"]
    model = load_adapters(names, SHIPPED)

    def accuracy(name: str) -> float:
        examples = task_examples(TASKS[adapter_named(name).task], args.count, 1, unseen=True, lengths=LENGTHS)
        return exact_match(model.get_base_model(), tokenizer, examples)

    own = {}
    for name in names:
        model.set_adapter(name)
        own[name] = accuracy(name)
    groups = Random(args.seed).sample(list(combinations(names, args.size)), args.groups)
    kept: dict[str, list[float]] = {"sum": [], "average": []}
    for group in groups:
        for label, weight in (("sum", 1.0), ("average", 1.0 / args.size)):
            model.add_weighted_adapter(list(group), [weight] * args.size, "merged", combination_type="cat")
            model.set_adapter("merged")
            scores = [accuracy(name) for name in group]
            model.delete_adapter("merged")
            kept[label] += [score / own[name] for score, name in zip(scores, group, strict=True)]
            print(f"{' + '.join(group)}: {label} {' '.join(f'{score:.2f}' for score in scores)}", flush=True)
    for label, shares in kept.items():
        print(f"{args.size} adapters, {label}: keeps {sum(shares) / len(shares):.2f} of each adapter's own accuracy")


if __name__ == "__main__":
    main()
