"""The brackets of the testbed: what each named task scores without, with its own and with one adapter for all.

    python -m inference_worker bench testbed_brackets --testbed DIR [DIR…] [--count 100] [--json FILE]

Exact match on unseen wordings. The first folder is a complete build with ``wordsmith-v2`` and, if built, with
``wordsmith-other``; further ones hold the adapters of other seeds. Columns: the bare base; the task's own adapter; the
adapter for all tasks; on v2 the bare base, the v1 adapter unchanged and the adapter trained again; on ``other`` the v1
adapter unchanged. Values are means over seeds, those of columns with bootstrap 95 % intervals over tasks. A task below
0.9 is listed with the base's own formal skill in its family.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from peft import PeftModel
from tokenizers import Tokenizer
from torch import nn

from inference_worker.testbed.evaluate import right_answers, task_examples
from inference_worker.testbed.library import ADAPTERS
from inference_worker.testbed.manifest import SHIPPED, read_manifest
from inference_worker.testbed.saving import load_base, load_tokenizer
from inference_worker.testbed.tasks import TASKS, Example

#: Column -> (folder of the base, group and suffix of the adapter). An adapter called "" is none.
COLUMNS = {
    "base": ("base", "", ""),
    "own": ("base", "adapters", "{name}"),
    "all-tasks": ("base", "brackets", "all-tasks"),
    "v2": ("bases/wordsmith-v2", "", ""),
    "v1 on v2": ("bases/wordsmith-v2", "adapters", "{name}"),
    "retrained": ("bases/wordsmith-v2", "brackets", "{name}-v2"),
    "other": ("bases/wordsmith-other", "", ""),
    "v1 on other": ("bases/wordsmith-other", "adapters", "{name}"),
}
#: Column -> task -> one row of answers (1.0 right) per seed.
Cells = dict[str, dict[str, list[list[float]]]]


def measure(folders: list[Path], count: int) -> Cells:
    """Every cell that the folders allow."""
    weights = {(folder / "base" / "model.safetensors").read_bytes() for folder in folders}
    if len(weights) != 1:
        raise SystemExit("The folders hold different bases: give builds of adapters on one base.")
    tokenizer = load_tokenizer(folders[0] / "base")
    examples = {spec.name: task_examples(TASKS[spec.task], count, 7, unseen=True) for spec in ADAPTERS}
    cells: Cells = {}
    for column, (base, group, pattern) in COLUMNS.items():
        if not (folders[0] / base).is_dir():
            continue
        rows: dict[str, list[list[float]]] = {}
        for folder in folders if group else folders[:1]:
            for name, right in _column(folders[0] / base, folder / group, pattern, tokenizer, examples):
                rows.setdefault(name, []).append(right)
        cells[column] = rows
        values = [np.mean(answers) for answers in rows.values()]
        print(f"{column}: {np.mean(values):.3f} over {len(rows)} tasks", flush=True)
    return cells


def _column(
    base: Path, group: Path, pattern: str, tokenizer: Tokenizer, examples: dict[str, list[Example]]
) -> Iterator[tuple[str, list[float]]]:
    """Each task's answers by one base with the adapter that the pattern names; tasks without such an adapter lack."""
    loaded: tuple[str, nn.Module] = ("", load_base(base))
    for name, chosen in examples.items():
        adapter = pattern.format(name=name)
        if adapter and not (group / adapter / "adapter_config.json").exists():
            continue
        if adapter != loaded[0]:
            model = PeftModel.from_pretrained(load_base(base), str(group / adapter))
            loaded = (adapter, model.eval().get_base_model())
        yield name, [float(answer) for answer in right_answers(loaded[1], tokenizer, chosen)]


def interval(values: np.ndarray, draws: int = 2000) -> tuple[float, float, float]:
    """Mean and bootstrap 95 % interval over ``values`` (n,)."""
    rng = np.random.default_rng(0)
    means = values[rng.integers(0, len(values), (draws, len(values)))].mean(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return float(values.mean()), float(low), float(high)


def as_markdown(cells: Cells, formal: dict[str, float]) -> str:
    columns = list(cells)
    lines = [f"| task | {' | '.join(columns)} |", "| --- |" + " --- |" * len(columns)]
    for spec in ADAPTERS:
        shown = [f"{np.mean(cells[c][spec.name]):.2f}" if spec.name in cells[c] else "–" for c in columns]
        lines.append(f"| {spec.name} | {' | '.join(shown)} |")
    means = []
    for column in columns:
        value, low, high = interval(np.array([np.mean(rows) for rows in cells[column].values()]))
        means.append(f"{value:.2f} [{low:.2f}, {high:.2f}]")
    lines.append(f"| **mean** [95 %] | {' | '.join(means)} |")
    again = sorted(cells.get("retrained", {}))
    if again:
        subset = [f"{np.mean([np.mean(cells[c][n]) for n in again if n in cells[c]]):.2f}" for c in columns]
        lines.append(f"| mean of the {len(again)} trained again | {' | '.join(subset)} |")
    weak = [
        (spec.name, float(np.mean(cells["own"][spec.name])), formal[TASKS[spec.task].family])
        for spec in ADAPTERS
        if spec.name in cells["own"] and np.mean(cells["own"][spec.name]) < 0.9
    ]
    lines += ["", "Own adapter below 0.90 (in brackets the base's formal skill in the family): "]
    lines.append(", ".join(f"{name} {value:.2f} ({skill:.2f})" for name, value, skill in sorted(weak)) or "none")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--testbed", type=Path, nargs="+", default=[SHIPPED], help="built testbeds, one per seed")
    parser.add_argument("--count", type=int, default=100, help="examples per task")
    parser.add_argument("--json", type=Path, help="write every cell there")
    args = parser.parse_args()
    torch.set_num_threads(1)
    cells = measure(args.testbed, args.count)
    formal = read_manifest(args.testbed[0])["figures"]["bases"]["wordsmith-v1"]["formal"]["families"]
    print(as_markdown(cells, formal))
    if args.json:
        table = {c: {n: [float(np.mean(r)) for r in rows] for n, rows in tasks.items()} for c, tasks in cells.items()}
        args.json.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
