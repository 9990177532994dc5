"""What is left of each adapter's gain when adapters of the testbed are merged, or mixed by retrieval.

    python -m inference_worker bench testbed_merges [--sizes 2 3 4] [--groups 12] [--count 40] [--mixtures 6]
        [--testbed DIR] [--seed 0] [--json FILE]

Gain is exact match above the bare base. Random groups of adapters are merged by every method; the share kept is the sum
of the merges' gains over the sum of the adapters' own, with a bootstrap 95 % interval over groups. Mixtures are served
by the engine: an instruction retrieves three adapters by MiniLM over their descriptions, with softmax weights; once out
of all adapters, once without the task's own.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from peft import PeftModel
from tokenizers import Tokenizer
from transformers import LlamaForCausalLM

from benchmarks._testbed_cells import able, mergeable
from inference_worker.adapter_format import open_directory
from inference_worker.cli.generate import adapter_paths, file_sha256
from inference_worker.contracts.common import AdapterFiles, BaseFiles
from inference_worker.contracts.generate import GenerateRequest, Sampling, WeightedAdapter
from inference_worker.merging import merge_adapters
from inference_worker.retrieval.encoder import load_encoder, mean_direction
from inference_worker.serving.pool import EnginePool
from inference_worker.serving.settings import EngineSettings
from inference_worker.testbed.cards import PROMPT_FORMAT
from inference_worker.testbed.evaluate import right_answers, task_examples
from inference_worker.testbed.library import ADAPTERS
from inference_worker.testbed.manifest import SHIPPED, read_manifest
from inference_worker.testbed.saving import load_base, load_tokenizer
from inference_worker.testbed.tasks import TASKS, Example, descriptions

LENGTHS = (4,)
WORDINGS = {"seen": False, "unseen": True}
#: Words -> method of the merging package, weight of each of n adapters.
METHODS: dict[str, tuple[str, Any]] = {
    "cat": ("cat", lambda n: 1.0),
    "average": ("cat", lambda n: 1.0 / n),
    "linear": ("linear", lambda n: 1.0 / n),
    "svd": ("svd", lambda n: 1.0),
    "lego": ("lego", lambda n: 1.0),
}
TOP, TEMPERATURE = 3, 0.03
#: What the best method of each kind has to keep on unseen wordings for the testbed to be good enough to measure on.
GATES = {"2 merged": 0.70, "4 merged": 0.45, f"top-{TOP} mixture, with its own": 0.85}

#: Method -> wording -> pairs of (gain of the merge or mixture, gain of the adapters alone).
Gains = dict[str, dict[str, list[tuple[float, float]]]]


def no_gains() -> Gains:
    return defaultdict(lambda: defaultdict(list))


class World:
    """A built testbed with the examples that everything is measured on."""

    def __init__(self, folder: Path, count: int) -> None:
        self.folder = folder
        self.tokenizer: Tokenizer = load_tokenizer(folder / "base")
        names = set(read_manifest(folder)["adapters"])
        self.specs = {spec.name: spec for spec in ADAPTERS if spec.name in names}
        self.examples = {
            (name, wording): task_examples(TASKS[spec.task], count, 1, unseen, LENGTHS)
            for name, spec in self.specs.items()
            for wording, unseen in WORDINGS.items()
        }
        base = self.base()
        #: Example by example, so that fewer of them can be compared with the same ones.
        self.answers_alone = {key: right_answers(base, self.tokenizer, given) for key, given in self.examples.items()}
        self.answers: dict[tuple[str, str], list[bool]] = {}
        for name in self.specs:
            self.answers |= self.right(folder / "adapters" / name, [name])
        self.alone = {key: sum(right) / len(right) for key, right in self.answers_alone.items()}
        self.own = {key: sum(right) / len(right) for key, right in self.answers.items()}

    def base(self) -> LlamaForCausalLM:
        return load_base(self.folder / "base")

    def scores(self, adapter: Path, names: Sequence[str]) -> dict[tuple[str, str], float]:
        """Exact match of the adapter in a directory on the named adapters' tasks, by name and wording."""
        return {key: sum(right) / len(right) for key, right in self.right(adapter, names).items()}

    def right(self, adapter: Path, names: Sequence[str]) -> dict[tuple[str, str], list[bool]]:
        """The same, example by example."""
        model = PeftModel.from_pretrained(self.base(), str(adapter)).eval().get_base_model()
        keys = [(name, wording) for name in names for wording in WORDINGS]
        return {key: right_answers(model, self.tokenizer, self.examples[key]) for key in keys}


def merged_gains(world: World, size: int, count: int, seed: int) -> Gains:
    """One pair for each group, summed over its tasks."""
    names = able([world.folder], [name for name, spec in world.specs.items() if mergeable(spec)])
    rng, found = Random(f"{size}:{seed}"), no_gains()
    for _ in range(count):
        group = different_families(names, size, rng)
        readers = [open_directory(world.folder / "adapters" / name) for name in group]
        for label, (method, weight) in METHODS.items():
            started = time.monotonic()
            rank = max(r.config.rank for r in readers) if method in ("lego", "svd") else None
            with tempfile.TemporaryDirectory() as out:
                merge_adapters(readers, [weight(size)] * size, method, out, rank=rank, dtype="float32")
                scores = world.scores(Path(out), group)
            for wording in WORDINGS:
                gain = sum(scores[n, wording] - world.alone[n, wording] for n in group)
                own = sum(world.own[n, wording] - world.alone[n, wording] for n in group)
                found[label][wording].append((gain, own))
            shown = " ".join(f"{scores[name, 'unseen']:.2f}" for name in group)
            print(f"{' + '.join(group)}: {label} {shown} ({time.monotonic() - started:.1f} s)", flush=True)
    return found


def different_families(names: list[str], size: int, rng: Random) -> list[str]:
    """A random group in which no two adapters teach the same family."""
    group: list[str] = []
    families: set[str] = set()
    for name in rng.sample(names, len(names)):
        family = next(TASKS[spec.task].family for spec in ADAPTERS if spec.name == name)
        if family not in families and len(group) < size:
            group.append(name)
            families.add(family)
    return group


def share(pairs: Sequence[tuple[float, float]], draws: int = 2000) -> tuple[float, float, float]:
    """Σ gains / Σ own gains, and its bootstrap 95 % interval over groups."""
    values = np.asarray(pairs)
    rng = np.random.default_rng(0)
    picked = values[rng.integers(0, len(values), (draws, len(values)))].sum(axis=1)
    low, high = np.quantile(picked[:, 0] / picked[:, 1], (0.025, 0.975))
    return float(values[:, 0].sum() / values[:, 1].sum()), float(low), float(high)


class Mixer:
    """Retrieves adapters for an instruction and asks the engine for the weighted mixture's answers."""

    def __init__(self, world: World) -> None:
        self.world, self.encoder = world, load_encoder()
        self.names = sorted(world.specs)
        texts = {name: descriptions(TASKS[world.specs[name].task]) for name in self.names}
        self.vectors = np.stack([mean_direction(self.encoder.encode(texts[name])) for name in self.names])
        self.base = BaseFiles(name="testbed", source=str(world.folder / "base"))
        self.files = {}
        for name in self.names:
            config, weights = adapter_paths(world.folder / "adapters" / name)
            label = str(world.folder / "adapters" / name)
            self.files[name] = AdapterFiles(label=label, config=file_sha256(config), weights=file_sha256(weights))

    def chosen(self, prompts: Sequence[str], without: str) -> list[list[tuple[str, float]]]:
        """The TOP adapters of every prompt with softmax weights, best first."""
        instructions = [prompt.split("\n")[0].removeprefix("Instruction: ") for prompt in prompts]
        scores = self.encoder.encode(instructions) @ self.vectors.T
        if without:
            scores[:, self.names.index(without)] = -np.inf
        best = np.argsort(-scores, axis=1)[:, :TOP]
        weights = np.exp((np.take_along_axis(scores, best, 1) - scores.max(1, keepdims=True)) / TEMPERATURE)
        weights /= weights.sum(1, keepdims=True)
        return [
            [(self.names[i], float(w)) for i, w in zip(row, values, strict=True)]
            for row, values in zip(best, weights, strict=True)
        ]

    def right(self, pool: EnginePool, name: str, examples: Sequence[Example], without: str) -> list[bool]:
        """Whether the mixture answers each example exactly."""
        chosen, handles = self.chosen([example.prompt for example in examples], without), []
        for i, (example, members) in enumerate(zip(examples, chosen, strict=True)):
            request = GenerateRequest(
                request=f"{name}-{without}-{i}-{example.prompt}",
                base=self.base,
                adapters=tuple(WeightedAdapter(adapter=self.files[n], weight=w) for n, w in members),
                prompt=example.prompt,
                prompt_format=PROMPT_FORMAT,
                sampling=Sampling(max_tokens=24),
                deadline=time.time() + 600,
            )
            handles.append(pool.submit(request, lambda files: adapter_paths(Path(files.label))))
        texts = ["".join(event.text for event in handle).strip() for handle in handles]
        return [text == example.answer for text, example in zip(texts, examples, strict=True)]


def mixture_gains(world: World, count: int) -> Gains:
    """One pair for each task."""
    mixer, found = Mixer(world), no_gains()
    with EnginePool(EngineSettings(device="cpu")) as pool:
        for (name, wording), examples in world.examples.items():
            # Of the same examples that the mixture is asked.
            alone, own = (
                sum(answers[name, wording][:count]) / count for answers in (world.answers_alone, world.answers)
            )
            for label, without in (("with its own adapter", ""), ("without its own", name)):
                right = mixer.right(pool, name, examples[:count], without)
                found[label][wording].append((sum(right) / len(right) - alone, own - alone))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="*", default=[2, 3, 4], help="adapters per merge")
    parser.add_argument("--groups", type=int, default=12, help="random groups of each size")
    parser.add_argument("--count", type=int, default=40, help="examples per task and wording")
    parser.add_argument("--mixtures", type=int, default=6, help="examples per task and wording for mixtures; 0: none")
    parser.add_argument("--testbed", type=Path, default=SHIPPED, help="a built testbed; default: the shipped one")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write all shares there")
    args = parser.parse_args()
    torch.set_num_threads(1)
    world = World(args.testbed, args.count)
    results = {f"{n} merged": merged_gains(world, n, args.groups, args.seed) for n in args.sizes}
    if args.mixtures:
        results[f"top-{TOP} mixture"] = mixture_gains(world, args.mixtures)
    table = {
        f"{what}, {label}, {wording}": [round(value, 4) for value in share(pairs)]
        for what, methods in results.items()
        for label, wordings in methods.items()
        for wording, pairs in wordings.items()
    }
    for name, (value, low, high) in table.items():
        print(f"{name}: keeps {value:.2f} of the gain [{low:.2f}, {high:.2f}]")
    for what, least in GATES.items():
        measured = {name: value[0] for name, value in table.items() if name.startswith(what) and "unseen" in name}
        if measured:
            best = max(measured, key=lambda name: measured[name])
            passed = "passed" if measured[best] >= least else "failed"
            print(f"asked is {least:.2f} of “{what}”: {passed}, {best} keeps {measured[best]:.2f}")
    if args.json:
        args.json.write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
