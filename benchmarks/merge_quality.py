"""Exact match of every merge method on merged testbed adapters, beside what brackets it.

    python -m inference_worker bench merge_quality [--testbed DIR …] [--sizes 2 3 4 8] [--sets 6] [--count 40]
        [--methods NAME …] [--json FILE]

A set of adapters is merged at weight 1 by each method with its defaults, at its default rank and, where a rank can be
chosen, at the sum of the ranks. Asked are each task in unseen wordings, and held-out compositions: two of the set's
tasks in one instruction, which no training has. Brackets: the bare base, the best parent, the parents' ensemble (mean
log-probability) and the adapter for all tasks. Each testbed is one training of the adapters. Cells are kept in FILE and
not measured twice. Answers are scored in bfloat16. Intervals are 95 % bootstraps over sets and trainings.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from random import Random

import numpy as np
import torch
from transformers import AutoTokenizer

from benchmarks._testbed_cells import Bench, Cells, able, make_stack, read_adapter
from inference_worker.adapter_format import open_directory
from inference_worker.adapter_format.reader import Factors
from inference_worker.contracts.merge_methods import METHODS
from inference_worker.evaluation.suite import Example as SuiteExample
from inference_worker.evaluation.suite import Suite
from inference_worker.fitting import WeightedSum, learn_weights, read_answers, search_weights
from inference_worker.fitting.weighted_sum import layer_of
from inference_worker.merging.registry import METHODS as FUNCTIONS
from inference_worker.merging.stack import Merged, ModuleStack
from inference_worker.testbed.cards import PROMPT_FORMAT
from inference_worker.testbed.corpus import IGNORED, example_batch
from inference_worker.testbed.evaluate import answer_logits, right_answers, task_examples
from inference_worker.testbed.manifest import SHIPPED
from inference_worker.testbed.tasks import TASKS, Example
from inference_worker.testbed.tasks.compositions import COMPOSITIONS, Composition

#: Compositions asked of one set.
COMPOSED = 3
MULTI_TASK = "all-tasks adapter"
BRACKETS = ("base", "own adapter", "best parent", "ensemble", MULTI_TASK)
#: Examples in seen wordings that each adapter brings for methods that find their weights.
FITTED = 16


class QualityBench(Bench):
    """A testbed that is asked more than the adapters' own tasks."""

    def put(self, factors: Mapping[str, Factors | Merged]) -> None:
        """Add Δ = B·A to the base's weights, in place of what was added before."""
        for module, plain in self._plain.items():
            self.model.get_parameter(f"{module}.weight").data.copy_(plain)
        for module, pair in factors.items():
            weight = self.model.get_parameter(f"{module}.weight").data
            self._plain.setdefault(module, weight.clone())
            weight.addmm_(pair.B, pair.A)

    def right(self, examples: Sequence[Example]) -> list[bool]:
        # As the other benchmarks on these cells: less than half the time.
        with torch.autocast("cpu", torch.bfloat16):
            return right_answers(self.model, self.tokenizer, examples)

    def stacks_by_layer(self, names: Sequence[str], weights: Mapping[int, Sequence[float]]) -> list[ModuleStack]:
        chosen = [self.adapters[name] for name in names]
        modules = dict.fromkeys(module for adapter in chosen for module in adapter)
        return [make_stack(module, chosen, weights[layer_of(module)]) for module in modules]


class Questions:
    """What a set of adapters is asked: its tasks, then its compositions."""

    def __init__(self, bench: QualityBench, names: Sequence[str], count: int) -> None:
        tasks = {bench.specs[name].task for name in names}
        composed = [c for c in COMPOSITIONS.values() if {c.first.name, c.second.name} <= tasks]
        composed = Random("+".join(names)).sample(composed, min(len(composed), COMPOSED))
        self.groups = [bench.examples[name] for name in names] + [composed_examples(c, count) for c in composed]
        self.tasks = len(names)

    @property
    def all(self) -> list[Example]:
        return [example for group in self.groups for example in group]

    def means(self, right: Sequence[bool]) -> list[float]:
        """Mean over tasks, mean over compositions (NaN without any), then task by task."""
        parts = torch.tensor(right, dtype=torch.float64).split([len(group) for group in self.groups])
        values = [float(part.mean()) for part in parts]
        own, others = values[: self.tasks], values[self.tasks :]
        return [round(float(np.mean(own)), 4), round(float(np.mean(others)), 4) if others else float("nan"), *own]


def composed_examples(composition: Composition, count: int) -> list[Example]:
    rng = Random(f"quality:{composition.name}")
    return [composition.natural_example(rng, 4, unseen=True) for _ in range(count)]


def choose_sets(bench: QualityBench, able: Sequence[str], sizes: Sequence[int], count: int) -> list[list[str]]:
    """``count`` random sets of each size, no two adapters of one family, each with at least one composition."""
    by_task = {bench.specs[name].task: name for name in able}
    pairs = [c for c in COMPOSITIONS.values() if c.first.name in by_task and c.second.name in by_task]
    found: list[list[str]] = []
    for size in sizes:
        rng = Random(f"sets:{size}")
        while pairs and sum(len(names) == size for names in found) < count:
            pair = rng.choice(pairs)
            chosen = {pair.first.family: by_task[pair.first.name], pair.second.family: by_task[pair.second.name]}
            for name in rng.sample(sorted(able), len(able)):
                if len(chosen) < size:
                    chosen.setdefault(TASKS[bench.specs[name].task].family, name)
            if len(chosen) < size:
                break
            if sorted(chosen.values()) not in found:
                found.append(sorted(chosen.values()))
    return found


def ensemble(bench: QualityBench, names: Sequence[str], examples: Sequence[Example]) -> list[bool]:
    """Whether the members' mean log-probability puts every token of the answer first; see ``right_answers``."""
    batch = example_batch(bench.tokenizer, examples)
    total, labels = None, torch.empty(0)
    for name in names:
        bench.put(bench.adapters[name])
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            logits, labels = answer_logits(bench.model, batch)
        own = logits.float().log_softmax(-1)
        total = own if total is None else total + own
    assert total is not None
    wrong = torch.zeros(batch.ids.shape[0], dtype=torch.long)
    wrong.index_add_(0, torch.nonzero(batch.labels != IGNORED)[:, 0], (total.argmax(-1) != labels).long())
    return (wrong == 0).tolist()


def found_weights(bench: QualityBench, names: Sequence[str], method: str) -> dict[int, tuple[float, ...]]:
    """Weights by layer from FITTED examples of each adapter's task in seen wordings."""
    tokenizer = AutoTokenizer.from_pretrained(bench.folder / "base")
    suites = []
    for name in names:
        examples = task_examples(TASKS[bench.specs[name].task], FITTED, 3, unseen=False)
        suites.append(Suite(name, tuple(SuiteExample(e.prompt, (e.answer,)) for e in examples), PROMPT_FORMAT))
    bench.put({})
    answers, owners = read_answers(tokenizer, suites, torch.device("cpu"), 512)
    modules = {module for name in names for module in bench.adapters[name]}
    layers = {module: bench.model.get_submodule(module) for module in modules}
    start = [1.0] * len(names)
    with ExitStack() as stack:
        readers = [stack.enter_context(open_directory(bench.folder / "adapters" / name)) for name in names]
        mixed = stack.enter_context(WeightedSum(layers, readers))
        if method == "lorahub":
            found = search_weights(bench.model, mixed, answers, owners, start=start, evaluations=60)
        else:
            found = learn_weights(bench.model, mixed, answers, owners, start=start, steps=40)
    return found.weights


def settings(methods: Sequence[str], size: int) -> Iterator[tuple[str, str, int | None]]:
    """Label, method and rank of every merge of ``size`` adapters of rank 8."""
    for name in methods:
        if name == "slerp" and size != 2:
            continue
        yield name, name, None
        if METHODS[name].rank == "choose" and name not in ("svd", "task_arithmetic", "lego", "lorahub", "lora_soup"):
            yield f"{name}, rank Σr", name, 8 * size
        if name == "lego":
            yield "lego, rank 2r", name, 16


def merge(
    bench: QualityBench, names: Sequence[str], method: str, rank: int | None, questions: Questions
) -> list[float]:
    info = METHODS[method]
    if info.examples:
        stacks = bench.stacks_by_layer(names, found_weights(bench, names, method))
    else:
        stacks = bench.stacks(names, [1.0] * len(names))
    merged = FUNCTIONS[method].merge(stacks, rank, info.options(), 0)
    bench.put({stack.name: part for stack, part in zip(stacks, merged, strict=True)})
    return questions.means(bench.right(questions.all))


def measure_brackets(bench: QualityBench, names: Sequence[str], questions: Questions) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    bench.put({})
    found["base"] = questions.means(bench.right(questions.all))
    parents = []
    for name in names:
        bench.put(bench.adapters[name])
        parents.append(questions.means(bench.right(questions.all)))
    found["best parent"] = max(parents, key=lambda scores: scores[0])
    found["own adapter"] = [float(np.mean([scores[2 + i] for i, scores in enumerate(parents)])), float("nan")]
    found["ensemble"] = questions.means(ensemble(bench, names, questions.all))
    return found


def run(
    folders: Sequence[Path], methods: Sequence[str], sizes: Sequence[int], sets: int, count: int, cells: Cells
) -> None:
    """Measure every cell that is not known yet. Sets are those of the first testbed, of adapters that all have."""
    chosen: list[list[str]] = []
    for folder in folders:
        bench = QualityBench(folder, count)
        if not chosen:
            chosen = choose_sets(bench, able(folders, bench.specs), sizes, sets)
        for names in chosen:
            if not set(names) <= set(bench.specs):
                continue
            started, prefix = time.monotonic(), f"{folder.name}|{'+'.join(names)}|"
            questions = Questions(bench, names, count)
            if f"{prefix}base" not in cells.found:
                for label, scores in measure_brackets(bench, names, questions).items():
                    cells.found[prefix + label] = scores
            everything = folder / "brackets" / "all-tasks"
            if f"{prefix}{MULTI_TASK}" not in cells.found and (everything / "meta.json").exists():
                bench.put(read_adapter(everything))
                cells.found[prefix + MULTI_TASK] = questions.means(bench.right(questions.all))
            for label, method, rank in settings(methods, len(names)):
                if prefix + label not in cells.found:
                    cells.found[prefix + label] = merge(bench, names, method, rank, questions)
                    cells.save()
            print(f"{folder.name}, {' + '.join(names)}: {time.monotonic() - started:.0f} s", flush=True)


def table(cells: Cells) -> str:
    """Rows: brackets and methods, best first; columns: sizes, tasks and compositions; means with intervals."""
    rows: dict[str, dict[int, list[list[float]]]] = {}
    for key, scores in cells.found.items():
        _, names, label = key.split("|")
        rows.setdefault(label, {}).setdefault(names.count("+") + 1, []).append(scores)
    sizes = sorted({size for found in rows.values() for size in found})

    def rank_of(label: str) -> float:
        return -float(np.mean([scores[0] for found in rows[label].values() for scores in found]))

    brackets = [label for label in BRACKETS if label in rows]
    ordered = brackets + sorted((label for label in rows if label not in brackets), key=rank_of)
    heads = [f"{size} tasks" for size in sizes] + [f"{size}, composed" for size in sizes]
    lines = [f"| | {' | '.join(heads)} |", "| --- |" + " --- |" * len(heads)]
    for label in ordered:
        shown = []
        for place in (0, 1):
            for size in sizes:
                values = np.array([scores[place] for scores in rows[label].get(size, [])])
                shown.append(cell(values[~np.isnan(values)], place == 0))
        lines.append(f"| {label} | {' | '.join(shown)} |")
    return "\n".join(lines)


def cell(values: np.ndarray, whole: bool) -> str:
    """Mean, with its 95 % interval where ``whole``; a dash without values."""
    if not len(values):
        return "–"
    rng = np.random.default_rng(0)
    means = values[rng.integers(0, len(values), (4000, len(values)))].mean(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return f"{values.mean():.2f} [{low:.2f}, {high:.2f}]" if whole else f"{values.mean():.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--testbed", type=Path, nargs="+", default=[SHIPPED], help="built testbeds, one per seed")
    parser.add_argument("--sizes", type=int, nargs="+", default=[2, 3, 4, 8], help="adapters per merge")
    parser.add_argument("--sets", type=int, default=6, help="sets of each size")
    parser.add_argument("--count", type=int, default=40, help="examples per task and composition")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS), help="default: all")
    parser.add_argument("--json", type=Path, help="measured cells, read if there")
    args = parser.parse_args()
    torch.set_num_threads(1)
    cells = Cells(args.json)
    run(args.testbed, args.methods, args.sizes, args.sets, args.count, cells)
    print(table(cells))


if __name__ == "__main__":
    main()
