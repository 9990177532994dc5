"""Decoding speed of a batch with an adapter in every row against the bare base.

    python benchmarks/serve.py [--base DIR] [--rows 8] [--rank 16] [--rounds 12] [--threads N] [--json]

The variants take turns within one run, so that whatever else the machine does falls on all of them alike: the bare
base in our runner, one adapter per row, three adapters per row, and PEFT's own mixed batch (``adapter_names``) with
transformers' cache as the peer.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import peft
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM
from transformers.cache_utils import DynamicCache

from inference_worker.contracts.common import BaseFiles
from inference_worker.contracts.generate import Sampling
from inference_worker.mixing.composition import Composition, compose
from inference_worker.serving.adapter_loader import load_adapter
from inference_worker.serving.base_loader import LoadedBase, assemble_base
from inference_worker.serving.detokenizer import TextStream
from inference_worker.serving.loaded_adapter import LoadedAdapter
from inference_worker.serving.model_runner import ModelRunner
from inference_worker.serving.sampling import RowSampler, choose_tokens
from inference_worker.serving.sequence import GenerationHandle, Sequence
from inference_worker.serving.settings import EngineSettings

LINEAR_MODULES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
PROMPT_TOKENS = 32
ROUND_STEPS = 8
BARE = "bare base"


@dataclass(frozen=True)
class Figure:
    """One variant. ``median`` and ``best`` are tokens per second by the clock over the rounds; ``processor`` is tokens
    per second of processor time (median), which other load on the machine disturbs least; ``share`` is ``processor``
    against the bare base's (on CUDA: ``median`` against it, since the processor only waits)."""

    variant: str
    median: float
    best: float
    processor: float
    share: float


def parse(arguments: list[str]) -> argparse.Namespace:
    """The options; ends the process with status 2 for those that make no batch."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", help="directory of a Llama-like base; without it a random one of 25 M parameters")
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=12, help=f"measured rounds of {ROUND_STEPS} steps per variant")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args(arguments)
    if min(args.rows, args.rank, args.rounds, args.threads) < 1:
        parser.error("--rows, --rank, --rounds and --threads have to be at least 1")
    return args


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    torch.set_num_threads(args.threads)
    device = EngineSettings(device=args.device).resolve_device()
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(args.base) if args.base else save_random_base(Path(scratch) / "base")
        parameters, figures = measure(directory, Path(scratch), args.rows, args.rank, args.rounds, device)
    where = torch.cuda.get_device_name() if device.type == "cuda" else f"{platform.machine()}, {args.threads} threads"
    if args.json:
        listed = [figure.__dict__ for figure in figures]
        print(json.dumps({"parameters": parameters, "rows": args.rows, "rank": args.rank, "figures": listed}))
        return 0
    print(f"{parameters / 1e6:.1f} M parameters, {args.rows} rows, rank {args.rank}, all linear modules, {where}")
    print("tokens per second, and the share of the bare base's speed:")
    for figure in figures:
        clock = f"median {figure.median:6.0f}  best {figure.best:6.0f}  per processor second {figure.processor:6.0f}"
        print(f"{figure.variant:32s} {clock} {figure.share:6.0%}")
    return 0


def save_random_base(directory: Path) -> Path:
    """A Llama of 24 M random parameters."""
    config = LlamaConfig(
        vocab_size=4096,
        hidden_size=512,
        intermediate_size=1376,
        num_hidden_layers=7,
        num_attention_heads=8,
        num_key_value_heads=8,
        tie_word_embeddings=True,
    )
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(directory)
    return directory


def measure(
    base: Path, scratch: Path, rows: int, rank: int, rounds: int, device: torch.device
) -> tuple[int, list[Figure]]:
    """Parameters of the base and the figures of all variants, measured in turn."""
    prompts = torch.randint(3, 250, (rows, PROMPT_TOKENS), generator=torch.Generator().manual_seed(1))
    peer = random_peft_model(base, rows, rank, device)
    directories = [scratch / f"a{index}" for index in range(rows)]
    for index in range(rows):
        peer.save_pretrained(str(scratch), selected_adapters=[f"a{index}"], save_embedding_layers=False)
    ours = load_model(base, device)
    adapters = [load_from(ours, directory) for directory in directories]
    names = [f"a{index}" for index in range(rows)]
    variants: dict[str, Callable[[], Callable[[], None]]] = {
        BARE: lambda: our_batch(ours, prompts, [compose([])] * rows),
        f"{rows} adapters, 1 per row": lambda: our_batch(ours, prompts, [compose([(a, 1.0)]) for a in adapters]),
        f"{rows} adapters, 3 per row": lambda: our_batch(
            ours,
            prompts,
            [compose([(adapters[(row + k) % rows], 0.5) for k in range(3)]) for row in range(rows)],
        ),
        f"PEFT adapter_names, {rows} adapters": lambda: peft_batch(peer, prompts.to(device), names),
    }
    speeds: dict[str, list[tuple[float, float]]] = {name: [] for name in variants}
    with torch.inference_mode():
        for round_number in range(rounds + 1):
            for name, start in variants.items():
                step = start()
                clock, processor = timed(step, device)
                if round_number:  # The first round warms up.
                    speeds[name].append((rows * ROUND_STEPS / clock, rows * ROUND_STEPS / processor))
    return sum(parameter.numel() for parameter in {*ours.model.parameters()}), summarise(speeds, device)


def summarise(speeds: dict[str, list[tuple[float, float]]], device: torch.device) -> list[Figure]:
    """Figures from (by the clock, by the processor) speeds per round."""
    figures = []
    for name, found in speeds.items():
        by_clock, by_processor = zip(*found, strict=True)
        median, processor = statistics.median(by_clock), statistics.median(by_processor)
        decisive = median if device.type == "cuda" else processor
        figures.append(Figure(name, median, max(by_clock), processor, decisive))
    bare = figures[0].share
    return [replace(figure, share=figure.share / bare) for figure in figures]


def timed(step: Callable[[], None], device: torch.device) -> tuple[float, float]:
    """Seconds by the clock and of processor time for ``ROUND_STEPS`` steps, after one that is not counted."""
    step()
    synchronize(device)
    clock, processor = time.perf_counter(), time.process_time()
    for _ in range(ROUND_STEPS):
        step()
    synchronize(device)
    return time.perf_counter() - clock, time.process_time() - processor


def synchronize(device: torch.device) -> None:
    """Wait for the device's queue."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def our_batch(base: LoadedBase, prompts: Tensor, compositions: list[Composition[LoadedAdapter]]) -> Callable[[], None]:
    """Prefill in the engine's runner; the result decodes one greedy token for every row."""
    runner = ModelRunner(base)
    rows = [
        bench_row(base, prompt, composition) for prompt, composition in zip(prompts.tolist(), compositions, strict=True)
    ]
    append(rows, runner.prefill(rows))

    def step() -> None:
        append(runner.rows, runner.decode())

    return step


def append(rows: list[Sequence], logits: Tensor) -> None:
    """Choose as the engine does."""
    for row, token in zip(rows, choose_tokens(logits, [row.sampler for row in rows]), strict=True):
        row.tokens.append(token)


def bench_row(base: LoadedBase, prompt: list[int], composition: Composition[LoadedAdapter]) -> Sequence:
    """A row without reader."""
    return Sequence(
        handle=GenerationHandle("bench", time.time() + 3600),
        prompt=tuple(prompt),
        composition=composition,
        sampler=RowSampler(Sampling(), prompt),
        text=TextStream(base.tokenizer, ()),
        max_tokens=4096,
        stop_tokens=frozenset(),
    )


def peft_batch(model: Any, prompts: Tensor, names: list[str]) -> Callable[[], None]:
    """The peer: PEFT's mixed batch with transformers' dynamic cache, greedy."""
    cache = DynamicCache(config=model.config)
    output = model(input_ids=prompts, past_key_values=cache, use_cache=True, adapter_names=names, logits_to_keep=1)
    last = {"tokens": output.logits[:, -1].argmax(-1, keepdim=True)}

    def step() -> None:
        result = model(
            input_ids=last["tokens"], past_key_values=cache, use_cache=True, adapter_names=names, logits_to_keep=1
        )
        last["tokens"] = result.logits[:, -1].argmax(-1, keepdim=True)

    return step


def random_peft_model(base: Path, count: int, rank: int, device: torch.device) -> Any:
    """The base with ``count`` random adapters on all linear modules."""
    torch.manual_seed(2)
    config = peft.LoraConfig(r=rank, lora_alpha=rank, target_modules=LINEAR_MODULES, task_type="CAUSAL_LM")
    model: Any = peft.get_peft_model(load_bare(base, device), config, adapter_name="a0")
    for index in range(1, count):
        model.add_adapter(f"a{index}", config)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.02)
    return model.eval()


def load_bare(base: Path, device: torch.device) -> Any:
    """The base as transformers loads it, in the engine's dtype."""
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    return AutoModelForCausalLM.from_pretrained(base, dtype=dtype, use_safetensors=True).eval().to(device)


class NoTokenizer:
    """Stands where a base's tokenizer stands: decoding speed needs no text."""

    eos_token_id = None


def load_model(base: Path, device: torch.device) -> LoadedBase:
    """The base with our layers."""
    tokenizer: Any = NoTokenizer()
    return assemble_base(BaseFiles(name="bench", source=str(base)), load_bare(base, device), tokenizer)


def load_from(base: LoadedBase, directory: Path) -> LoadedAdapter:
    """An adapter that PEFT saved."""
    config, weights = directory / "adapter_config.json", directory / "adapter_model.safetensors"
    return load_adapter(config, weights, directory.name, base)


if __name__ == "__main__":
    sys.exit(run(parse(sys.argv[1:])))
