"""Exact match of LoRA-LEGO's open choices on merged testbed adapters, unseen wordings.

    python -m inference_worker bench lego_options [--testbed DIR ...] [--sizes 2 3 4] [--sets 3] [--seeds 3]
        [--count 40] [--json FILE]

Every choice is changed alone from the default, beside the paper's variant, for k = r/2, r, 2r and Σr. Each testbed
given is one training of the adapters; each seed is one seed of k-means. Cells are kept in FILE and not measured twice.
Intervals are 95 % bootstraps over task sets of the difference from the default, on the same sets.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks._testbed_cells import Bench, Cells, task_sets
from inference_worker.contracts.merge_methods import METHODS, LegoOptions
from inference_worker.merging.lego import merge_lego
from inference_worker.merging.registry import METHODS as FUNCTIONS
from inference_worker.testbed.manifest import SHIPPED

DEFAULT = "default"
#: Words -> options of ``lego``, each changed alone.
CHOICES: Mapping[str, Mapping[str, Any]] = {
    DEFAULT: {},
    "paper's variant": {"variant": "paper"},
    "directions only": {"normalise": "joint"},
    "no balancing": {"balance": False},
    "no balancing, a and b normalised": {"balance": False, "normalise": "each"},
    "no signs": {"align_signs": False},
    "no parameter reweighting": {"parameter_reweighting": "none"},
    "parameter reweighting by ∞-norm": {"parameter_reweighting": "inf"},
    "output reweighting always": {"output_reweighting": "always"},
    "no output reweighting": {"output_reweighting": "never"},
    "1 restart": {"restarts": 1},
}
#: The same with weights from 0.5 to 1.5, which is where folding and sampling differ.
WEIGHTED: Mapping[str, Mapping[str, Any]] = {
    "weights 0.5–1.5, folded": {},
    "weights 0.5–1.5, as sample weights": {"adapter_weights": "sample"},
}
#: Words -> method and weight of each of n adapters; what a merge is compared with.
OTHERS: Mapping[str, tuple[str, Any]] = {
    "sum": ("cat", lambda n: 1.0),
    "average": ("cat", lambda n: 1.0 / n),
    "svd of the sum, rank r": ("svd", lambda n: 1.0),
}
RANKS = ("r/2", "r", "2r", "Σr")
#: Resamples of a bootstrap.
DRAWS = 4000


@dataclass(frozen=True)
class Cell:
    """One merge: ``weighted`` gives the adapters weights from 0.5 to 1.5."""

    bench: str
    names: tuple[str, ...]
    label: str
    rank: int
    seed: int

    @property
    def key(self) -> str:
        return "|".join((self.bench, "+".join(self.names), self.label, str(self.rank), str(self.seed)))


def rank_of(words: str, size: int, rank: int = 8) -> int:
    return {"r/2": rank // 2, "r": rank, "2r": 2 * rank, "Σr": size * rank}[words]


def cells_of(bench: str, names: Sequence[str], seeds: int) -> Iterator[Cell]:
    ranks = sorted({rank_of(words, len(names)) for words in RANKS})
    for label in (*CHOICES, *WEIGHTED):
        for rank in ranks:
            # With a brick for every unit nothing is left to chance.
            for seed in range(1 if rank == len(names) * 8 else seeds):
                yield Cell(bench, tuple(names), label, rank, seed)


def measure(bench: Bench, cell: Cell) -> list[float]:
    """Exact match on the task of each adapter merged."""
    size = len(cell.names)
    weighted = cell.label in WEIGHTED
    weights = np.linspace(0.5, 1.5, size).tolist() if weighted else [1.0] * size
    options = LegoOptions.model_validate((WEIGHTED if weighted else CHOICES)[cell.label])
    stacks = bench.stacks(cell.names, weights)
    merged = merge_lego(stacks, cell.rank, options, cell.seed)
    return bench.scores({stack.name: part for stack, part in zip(stacks, merged, strict=True)}, cell.names)


def measure_others(bench: Bench, names: Sequence[str]) -> dict[str, list[float]]:
    """The base, every adapter alone on all tasks, and the plain merges."""
    found = {"base": bench.scores({}, names)}
    alone = [bench.scores(bench.adapters[name], names) for name in names]
    found["own adapter"] = [scores[index] for index, scores in enumerate(alone)]
    found["best parent"] = max(alone, key=sum)
    for label, (method, weight) in OTHERS.items():
        stacks = bench.stacks(names, [weight(len(names))] * len(names))
        merged = FUNCTIONS[method].merge(stacks, 8, METHODS[method].options(), 0)
        found[label] = bench.scores({s.name: part for s, part in zip(stacks, merged, strict=True)}, names)
    return found


def run(folders: Sequence[Path], sizes: Sequence[int], sets: int, seeds: int, count: int, cells: Cells) -> None:
    """Measure every cell that is not known yet."""
    for folder in folders:
        bench = Bench(folder, count)
        own = {name: bench.scores(bench.adapters[name], [name])[0] for name in bench.specs}
        # Of an adapter that fails its own task alone, nothing can be kept.
        able = [name for name, score in own.items() if score >= 0.5]
        print(f"{folder}: {len(able)} of {len(own)} adapters pass half of their own task", flush=True)
        chosen = task_sets(able, sizes, sets, seed=0)
        if not chosen:
            raise SystemExit(f"{folder} has too few finished adapters of rank 8 for a merge")
        for names in chosen:
            started, new = time.monotonic(), 0
            if f"{folder.name}|{'+'.join(names)}|base" not in cells.found:
                for label, scores in measure_others(bench, names).items():
                    cells.found[f"{folder.name}|{'+'.join(names)}|{label}"] = scores
            for cell in cells_of(folder.name, names, seeds):
                if cell.key not in cells.found:
                    cells.found[cell.key] = measure(bench, cell)
                    cells.save()
                    new += 1
            print(f"{' + '.join(names)}: {new} cells in {time.monotonic() - started:.0f} s", flush=True)


def means(cells: Cells, label: str, rank: str | None, size: int | None = None) -> dict[str, float]:
    """Testbed and task set -> mean exact match over tasks, seeds and, where ``rank`` is None, all ranks."""
    groups: dict[str, dict[int, list[float]]] = {}
    for key, scores in cells.found.items():
        parts = key.split("|")
        if parts[2] != label or (size is not None and len(scores) != size):
            continue
        if len(parts) == 5 and rank is not None and int(parts[3]) != rank_of(rank, len(scores)):
            continue
        groups.setdefault("|".join(parts[:2]), {}).setdefault(int(parts[3]) if len(parts) == 5 else 0, []).append(
            float(np.mean(scores))
        )
    return {group: float(np.mean([np.mean(values) for values in ranks.values()])) for group, ranks in groups.items()}


def interval(differences: Sequence[float]) -> tuple[float, float]:
    """95 % bootstrap interval of the mean."""
    values = np.asarray(differences)
    picked = values[np.random.default_rng(0).integers(0, len(values), (DRAWS, len(values)))].mean(axis=1)
    low, high = np.quantile(picked, (0.025, 0.975))
    return float(low), float(high)


def table(cells: Cells) -> str:
    """Markdown: one row per choice, one column per rank, and the difference from the default over all ranks."""
    lines = [f"| choice | {' | '.join(f'k = {words}' for words in RANKS)} | all | difference from the default |"]
    lines.append("| --- |" + " --- |" * (len(RANKS) + 2))
    for label in (*CHOICES, *WEIGHTED):
        columns = [means(cells, label, words) for words in (*RANKS, None)]
        shown = [f"{np.mean(list(column.values())):.3f}" for column in columns]
        against = means(cells, next(iter(WEIGHTED)) if label in WEIGHTED else DEFAULT, None)
        gaps = [value - against[group] for group, value in columns[-1].items()]
        low, high = interval(gaps)
        gap = "" if not any(gaps) else f"{np.mean(gaps):+.3f} [{low:+.3f}, {high:+.3f}]"
        lines.append(f"| {label} | {' | '.join(shown)} | {gap} |")
    return "\n".join(lines)


def table_of_sizes(cells: Cells) -> str:
    """Markdown: the default, the paper's variant and what they are compared with, by the number of adapters."""
    sizes = sorted({len(scores) for scores in cells.found.values()})
    lines = [f"| | {' | '.join(f'{size} adapters' for size in sizes)} |", "| --- |" + " --- |" * len(sizes)]
    rows: list[tuple[str, str, str | None]] = [(label, label, None) for label in ("base", "own adapter", "best parent")]
    rows += [(label, label, None) for label in OTHERS]
    rows += [
        (f"lego, {label}, k = {rank}", label, rank) for label in (DEFAULT, "paper's variant") for rank in ("r", "Σr")
    ]
    for shown, label, rank in rows:
        values = [list(means(cells, label, rank, size).values()) for size in sizes]
        lines.append(f"| {shown} | {' | '.join(f'{np.mean(column):.3f}' for column in values)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--testbed", type=Path, nargs="+", default=[SHIPPED], help="built testbeds, one per training")
    parser.add_argument("--sizes", type=int, nargs="+", default=[2, 3, 4], help="adapters per merge")
    parser.add_argument("--sets", type=int, default=3, help="random task sets of each size")
    parser.add_argument("--seeds", type=int, default=3, help="seeds of k-means")
    parser.add_argument("--count", type=int, default=40, help="examples per task")
    parser.add_argument("--json", type=Path, help="cells are kept there, and those in it are not measured again")
    args = parser.parse_args()
    torch.set_num_threads(1)
    cells = Cells(args.json)
    run(args.testbed, args.sizes, args.sets, args.seeds, args.count, cells)
    print(table(cells), table_of_sizes(cells), sep="\n\n")


if __name__ == "__main__":
    main()
