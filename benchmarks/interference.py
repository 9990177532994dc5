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
import time
from contextlib import ExitStack
from itertools import combinations
from pathlib import Path
from random import Random

import torch

from benchmarks._testbed_cells import Bench, Cells
from inference_worker.adapter_format import open_directory
from inference_worker.composability import compare_adapters
from inference_worker.composability.fitting import Observation, fit_predictor
from inference_worker.contracts.composability import MEASURES_VERSION
from inference_worker.contracts.interference import Predictor, Predictors
from inference_worker.merging.registry import METHODS
from inference_worker.testbed.library import AdapterSpec
from inference_worker.testbed.manifest import SHIPPED

MERGES = ("cat", "lego")
#: Of an adapter that gains less than this alone, a share kept means nothing.
LEAST_GAIN = 0.3
_SAVE_EVERY = 10


def adds_up(spec: AdapterSpec) -> bool:
    """Whether its effect is a sum of low-rank updates alone; ranks may differ."""
    return not spec.dora and not spec.modules_to_save


def measure(bench: Bench, cells: Cells, most: int, seconds: float, seed: int) -> None:
    """Fill ``cells``: every adapter alone, then pairs in random order, by both methods."""
    started = time.monotonic()
    for name in bench.specs:
        if f"alone {name}" not in cells.found:
            alone = bench.scores(bench.adapters[name], [name])
            cells.found[f"alone {name}"] = [*bench.scores({}, [name]), *alone]
    pairs = list(combinations(able(bench, cells), 2))
    Random(seed).shuffle(pairs)
    for done, pair in enumerate(pairs[:most], start=1):
        if time.monotonic() - started > seconds:
            break
        for method in MERGES:
            key = f"{method} {' + '.join(pair)}"
            if key not in cells.found:
                cells.found[key] = bench.scores(merged(bench, method, pair), pair)
        if done % _SAVE_EVERY == 0:
            cells.save()
            print(f"{done} pairs, {time.monotonic() - started:.0f} s", flush=True)
    cells.save()


def able(bench: Bench, cells: Cells) -> list[str]:
    """The adapters that gain enough alone."""
    gains = {name: cells.found[f"alone {name}"] for name in sorted(bench.specs)}
    return [name for name, (base, alone) in gains.items() if alone - base >= LEAST_GAIN]


def merged(bench: Bench, method: str, pair: tuple[str, str]) -> dict[str, object]:
    """Both adapters at weight 1, by ``method`` with its defaults: module name → factors."""
    stacks = bench.stacks(pair, [1.0, 1.0])
    binding = METHODS[method]
    results = binding.merge(stacks, None, binding.info.options(), 0)
    return {stack.name: result for stack, result in zip(stacks, results, strict=True)}


def observations(bench: Bench, cells: Cells) -> dict[str, list[Observation]]:
    """Method → the measured pairs with what each adapter kept of its gain."""
    names = able(bench, cells)
    pairs = [pair for pair in combinations(range(len(names)), 2) if _keys(names, pair) <= cells.found.keys()]
    with ExitStack() as stack:
        readers = [stack.enter_context(open_directory(bench.folder / "adapters" / name)) for name in names]
        measured = compare_adapters(readers, pairs)
    found: dict[str, list[Observation]] = {method: [] for method in MERGES}
    for pair, measures in zip(pairs, measured, strict=True):
        for method in MERGES:
            scores = cells.found[f"{method} {names[pair[0]]} + {names[pair[1]]}"]
            kept = []
            for end, score in zip(pair, scores, strict=True):
                base, alone = cells.found[f"alone {names[end]}"]
                kept.append((score - base) / (alone - base))
            found[method].append(Observation(*pair, measures, (kept[0], kept[1])))
    return found


def _keys(names: list[str], pair: tuple[int, int]) -> set[str]:
    return {f"{method} {names[pair[0]]} + {names[pair[1]]}" for method in MERGES}


def show(found: Predictor) -> None:
    print(f"{found.method}: {found.pairs} pairs of {found.adapters} adapters keep {found.mean:.2f}; use {found.source}")
    for source in ("model", "cosine"):
        print(f"  {source}: Spearman {getattr(found, source)} on held-out adapters")
    for feature in sorted(found.features, key=lambda item: -abs(item.coefficient)):
        print(f"    {feature.name}: {feature.coefficient:+.3f}")


def options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--testbed", type=Path, default=SHIPPED, help="a built testbed; default: the shipped one")
    parser.add_argument("--out", type=Path, required=True, help="measured pairs, read if there")
    parser.add_argument("--pairs", type=int, default=2000, help="most pairs")
    parser.add_argument("--minutes", type=float, default=60.0, help="most time for measuring pairs")
    parser.add_argument("--count", type=int, default=32, help="examples per task")
    parser.add_argument("--fit", type=Path, help="store the prediction there")
    parser.add_argument("--world", default="wordsmith-v1", help="what the testbed is called in the stored prediction")
    parser.add_argument("--seed", type=int, default=0)
    return parser


def run(args: argparse.Namespace) -> Predictors:
    torch.set_num_threads(1)
    bench, cells = Bench(args.testbed, args.count, takes=adds_up), Cells(args.out)
    measure(bench, cells, args.pairs, args.minutes * 60, args.seed)
    found = observations(bench, cells)
    predictors = tuple(fit_predictor(method, found[method]) for method in MERGES)
    stored = Predictors(measures=MEASURES_VERSION, measured_on=args.world, predictors=predictors)
    if args.fit:
        args.fit.write_text(stored.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return stored


if __name__ == "__main__":
    for each in run(options().parse_args()).predictors:
        show(each)
