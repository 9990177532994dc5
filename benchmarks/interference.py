"""Fit and judge the prediction of how well two adapters merge.

    python -m inference_worker bench interference --testbed DIR --out pairs.json [--pairs N] [--count 32] [--minutes M]
        [--fit inference_worker/composability/interference.json]

Merges pairs of a testbed's adapters by every default method, in random order, inside one model whose weights are
changed in place, and counts the right answers on unseen wordings of both tasks. What an adapter keeps is its gain over
the bare base in the merge, as a share of its gain alone. ``--out`` is written every few pairs: a run that was stopped
goes on. Then a ridge regression on the pair's measures is fitted and compared with the cosine of Δ alone, on pairs of
which neither adapter was seen; ``--fit`` stores the better one.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from random import Random
from typing import Any

import torch

from inference_worker.adapter_format.reader import AdapterReader, Factors, open_directory
from inference_worker.adapter_format.writer import write_atomically
from inference_worker.composability import compare_adapters
from inference_worker.composability.fitting import Observation, fit_predictor
from inference_worker.contracts.composability import MEASURES_VERSION
from inference_worker.contracts.interference import Predictors
from inference_worker.contracts.merge_limits import ALONE, CARRIED, NEVER
from inference_worker.merging.registry import METHODS
from inference_worker.merging.stack import ModuleStack
from inference_worker.testbed.evaluate import right_answers, task_examples
from inference_worker.testbed.library import ADAPTERS
from inference_worker.testbed.manifest import SHIPPED
from inference_worker.testbed.saving import load_base, load_tokenizer
from inference_worker.testbed.tasks import TASKS, Example

MERGES = ("cat", "lego")
#: Of an adapter that gains less than this alone, a share kept means nothing.
LEAST_GAIN = 0.3
_SAVE_EVERY = 10


class World:
    """A base whose weights are changed in place, and the adapters that can be added up."""

    def __init__(self, folder: Path, count: int) -> None:
        self.tokenizer = load_tokenizer(folder / "base")
        self.model = load_base(folder / "base")
        self.weights = {
            name: (module.weight, module.weight.detach().clone())
            for name, module in self.model.named_modules()
            if isinstance(module, torch.nn.Linear) and name != "lm_head"
        }
        self.readers: dict[str, AdapterReader] = {}
        self.examples: dict[str, list[Example]] = {}
        for spec in ADAPTERS:
            directory = folder / "adapters" / spec.name
            # The description of a trained adapter is written last.
            if not (directory / "meta.json").exists():
                continue
            reader = open_directory(directory)
            if not (NEVER.keys() | ALONE.keys() | CARRIED) & set(reader.features):
                self.readers[spec.name] = reader
                self.examples[spec.name] = task_examples(TASKS[spec.task], count, 1, unseen=True)
        self.factors = {
            name: {module: reader.read(module) for module in reader.modules} for name, reader in self.readers.items()
        }

    @torch.no_grad()
    def scores(self, changes: dict[str, Factors], names: Sequence[str]) -> list[float]:
        """Exact match on the named adapters' tasks with ``changes`` added to the base, which is put back."""
        for module, (a, b) in changes.items():
            self.weights[module][0].addmm_(b, a)
        examples = [example for name in names for example in self.examples[name]]
        right = right_answers(self.model, self.tokenizer, examples)
        for module in changes:
            weight, before = self.weights[module]
            weight.copy_(before)
        size = len(examples) // len(names)
        return [sum(right[start : start + size]) / size for start in range(0, len(right), size)]

    def merged(self, method: str, names: Sequence[str]) -> dict[str, Factors]:
        """Both adapters at weight 1, by ``method`` with its defaults."""
        modules = sorted({module for name in names for module in self.factors[name]})
        stacks = [self._stack(module, names) for module in modules]
        binding = METHODS[method]
        results = binding.merge(stacks, None, binding.info.options(), 0)
        return {module: Factors(item.A, item.B) for module, item in zip(modules, results, strict=True)}

    def _stack(self, module: str, names: Sequence[str]) -> ModuleStack:
        parts = [(i, self.factors[name][module]) for i, name in enumerate(names) if module in self.factors[name]]
        ranks = [factors.A.shape[0] for _, factors in parts]
        return ModuleStack(
            name=module,
            A=torch.cat([factors.A for _, factors in parts]),
            B=torch.cat([factors.B for _, factors in parts], dim=1),
            scale=torch.ones(sum(ranks), dtype=torch.float64),
            owner=torch.tensor([i for i, _ in parts]).repeat_interleave(torch.tensor(ranks)),
            ranks=tuple(ranks),
        )


def measure(world: World, out: Path, most: int, seconds: float, seed: int) -> dict[str, Any]:
    """Go on with what ``out`` holds: adapters alone first, then pairs in random order."""
    state: dict[str, Any] = json.loads(out.read_text()) if out.exists() else {"base": {}, "alone": {}, "pairs": {}}
    started = time.monotonic()
    for name in world.readers:
        if name not in state["alone"]:
            state["base"][name] = world.scores({}, [name])[0]
            state["alone"][name] = world.scores(world.factors[name], [name])[0]
    able = [name for name in world.readers if state["alone"][name] - state["base"][name] >= LEAST_GAIN]
    print(f"{len(able)} of {len(world.readers)} adapters gain {LEAST_GAIN} or more alone", flush=True)
    pairs = list(combinations(sorted(able), 2))
    Random(seed).shuffle(pairs)
    for done, pair in enumerate(pairs[:most], start=1):
        key = " + ".join(pair)
        if time.monotonic() - started > seconds:
            break
        if key not in state["pairs"]:
            state["pairs"][key] = {method: world.scores(world.merged(method, pair), pair) for method in MERGES}
        if done % _SAVE_EVERY == 0:
            write_atomically(out, json.dumps(state).encode())
            print(f"{done} pairs, {time.monotonic() - started:.0f} s", flush=True)
    write_atomically(out, json.dumps(state).encode())
    return state


def observations(world: World, state: dict[str, Any], method: str) -> list[Observation]:
    """The measured pairs with what each adapter kept of its gain."""
    names = list(world.readers)
    keys = [key for key in state["pairs"] if all(name in world.readers for name in key.split(" + "))]
    positions = [tuple(names.index(name) for name in key.split(" + ")) for key in keys]
    measured = compare_adapters(list(world.readers.values()), [(first, second) for first, second in positions])
    found = []
    for key, (first, second), measures in zip(keys, positions, measured, strict=True):
        kept = [
            (score - state["base"][names[i]]) / (state["alone"][names[i]] - state["base"][names[i]])
            for i, score in zip((first, second), state["pairs"][key][method], strict=True)
        ]
        found.append(Observation(first, second, measures, (kept[0], kept[1])))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--testbed", type=Path, default=SHIPPED, help="a built testbed; default: the shipped one")
    parser.add_argument("--out", type=Path, required=True, help="measured pairs, read if there")
    parser.add_argument("--pairs", type=int, default=2000, help="most pairs")
    parser.add_argument("--minutes", type=float, default=60.0, help="most time for measuring pairs")
    parser.add_argument("--count", type=int, default=32, help="examples per task")
    parser.add_argument("--fit", type=Path, help="store the prediction there")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    world = World(args.testbed, args.count)
    state = measure(world, args.out, args.pairs, args.minutes * 60, args.seed)
    predictors = []
    for method in MERGES:
        found = fit_predictor(method, observations(world, state, method))
        predictors.append(found)
        print(f"{method}: {found.pairs} pairs of {found.adapters} adapters keep {found.mean:.2f}; use {found.source}")
        for source in ("model", "cosine"):
            value = getattr(found, source)
            print(f"  {source}: Spearman {value.value:.2f} [{value.low:.2f}, {value.high:.2f}] on held-out adapters")
        for feature in sorted(found.features, key=lambda item: -abs(item.coefficient)):
            print(f"    {feature.name}: {feature.coefficient:+.3f}")
    if args.fit:
        stored = Predictors(
            measures=MEASURES_VERSION, measured_on="wordsmith-v1, unseen wordings", predictors=tuple(predictors)
        )
        args.fit.write_text(stored.model_dump_json(indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
