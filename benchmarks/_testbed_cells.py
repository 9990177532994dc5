"""Exact match of merges of testbed adapters, many a minute: nothing is written, the base's weights change in place."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from random import Random

import torch
from torch import Tensor

from inference_worker.adapter_format import open_directory
from inference_worker.adapter_format.reader import Factors
from inference_worker.merging.stack import Merged, ModuleStack
from inference_worker.testbed.evaluate import right_answers, task_examples
from inference_worker.testbed.library import ADAPTERS, AdapterSpec
from inference_worker.testbed.saving import load_base, load_tokenizer
from inference_worker.testbed.tasks import TASKS

Adapter = dict[str, Factors]


def mergeable(spec: AdapterSpec) -> bool:
    """One common rank, and nothing that cannot be added up."""
    return spec.rank == 8 and not spec.dora and not spec.rank_pattern and not spec.modules_to_save


class Bench:
    """One testbed: its finished adapters that can be merged, and the examples that everything is measured on.

    Answers are scored under bfloat16 autocast, in less than half the time, unless ``exact``.
    """

    def __init__(
        self,
        folder: Path,
        count: int,
        lengths: Sequence[int] = (4,),
        takes: Callable[[AdapterSpec], bool] = mergeable,
        exact: bool = False,
    ) -> None:
        self.folder, self.exact = folder, exact
        self.tokenizer = load_tokenizer(folder / "base")
        self.model = load_base(folder / "base")
        finished = {path.parent.name for path in (folder / "adapters").glob("*/meta.json")}
        self.specs = {spec.name: spec for spec in ADAPTERS if spec.name in finished and takes(spec)}
        self.examples = {
            name: task_examples(TASKS[spec.task], count, 1, unseen=True, lengths=lengths)
            for name, spec in self.specs.items()
        }
        self.adapters = {name: read_adapter(folder / "adapters" / name) for name in self.specs}
        self._plain: dict[str, Tensor] = {}
        self._known: dict[str, list[float]] = {}

    def scores(self, factors: Mapping[str, Factors | Merged], names: Sequence[str]) -> list[float]:
        """Exact match on each named adapter's task with Δ = B·A added to the base's weights.

        The same factors are scored once only: many options agree on many ranks.
        """
        digest = hashlib.sha256(repr(names).encode())
        for module in sorted(factors):
            digest.update(factors[module].A.numpy().tobytes() + factors[module].B.numpy().tobytes())
        key = digest.hexdigest()
        if key not in self._known:
            self._known[key] = self._scores(factors, names)
        return self._known[key]

    def _scores(self, factors: Mapping[str, Factors | Merged], names: Sequence[str]) -> list[float]:
        for module, plain in self._plain.items():
            self.model.get_parameter(f"{module}.weight").data.copy_(plain)
        for module, pair in factors.items():
            weight = self.model.get_parameter(f"{module}.weight").data
            self._plain.setdefault(module, weight.clone())
            weight.addmm_(pair.B, pair.A)
        examples = [example for name in names for example in self.examples[name]]
        with torch.autocast("cpu", torch.bfloat16, enabled=not self.exact):
            answers = right_answers(self.model, self.tokenizer, examples)
        right = torch.tensor(answers, dtype=torch.float64)
        return [round(float(part.mean()), 4) for part in right.split([len(self.examples[name]) for name in names])]

    def stacks(self, names: Sequence[str], weights: Sequence[float]) -> list[ModuleStack]:
        """The named adapters' modules as the merge methods take them."""
        chosen = [self.adapters[name] for name in names]
        modules = dict.fromkeys(module for adapter in chosen for module in adapter)
        return [make_stack(module, chosen, weights) for module in modules]


def able(folders: Sequence[Path], names: Iterable[str]) -> list[str]:
    """The named adapters that every testbed has and that pass half of their own task in unseen wordings.

    Of one that fails alone, nothing can be kept. Judged by the build's figures, which come from other examples than the
    benchmarks': who is chosen for luck on some examples would fall back on them.
    """

    def passes(folder: Path, name: str) -> bool:
        meta = folder / "adapters" / name / "meta.json"
        return meta.exists() and json.loads(meta.read_text(encoding="utf-8"))["figures"]["unseen"] >= 0.5

    return sorted(name for name in names if all(passes(folder, name) for folder in folders))


def read_adapter(folder: Path) -> Adapter:
    with open_directory(folder) as reader:
        return {module: reader.read(module) for module in reader.modules}


def make_stack(module: str, adapters: Sequence[Adapter], weights: Sequence[float]) -> ModuleStack:
    present = [(index, adapter[module]) for index, adapter in enumerate(adapters) if module in adapter]
    ranks = torch.tensor([pair.A.shape[0] for _, pair in present])
    own = torch.tensor([weights[index] for index, _ in present], dtype=torch.float64)
    return ModuleStack(
        name=module,
        A=torch.cat([pair.A for _, pair in present]),
        B=torch.cat([pair.B for _, pair in present], dim=1),
        scale=own.repeat_interleave(ranks),
        owner=torch.tensor([index for index, _ in present]).repeat_interleave(ranks),
        ranks=tuple(ranks.tolist()),
        weights=tuple(own.tolist()),
        line_up=tuple(enumerate(weights)),
    )


def task_sets(able: Sequence[str], sizes: Sequence[int], count: int, seed: int) -> list[list[str]]:
    """``count`` random sets of each size in which no two adapters teach the same family, the same on every machine."""
    specs = {spec.name: spec for spec in ADAPTERS}
    found: list[list[str]] = []
    for size in sizes:
        rng = Random(f"{size}:{seed}")
        for _ in range(count):
            chosen: dict[str, str] = {}
            for name in rng.sample(sorted(able), len(able)):
                if len(chosen) < size:
                    chosen.setdefault(TASKS[specs[name].task].family, name)
            if len(chosen) == size and sorted(chosen.values()) not in found:
                found.append(sorted(chosen.values()))
    return found


class Cells:
    """Measured cells by key in a JSON file, so that an interrupted run goes on where it was."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.found: dict[str, list[float]] = json.loads(path.read_text()) if path and path.exists() else {}

    def save(self) -> None:
        if self.path is not None:
            part = self.path.with_suffix(".part")
            part.write_text(json.dumps(self.found, separators=(",", ":"), sort_keys=True) + "\n", encoding="utf-8")
            part.replace(self.path)
