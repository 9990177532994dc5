"""Merge adapters: check, read groups of modules, merge, write. Memory stays near one group per thread."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from inference_worker.adapter_format.names import CONFIG_NAME, WEIGHTS_NAME
from inference_worker.adapter_format.reader import AdapterReader, Factors
from inference_worker.adapter_format.writer import AdapterWriter, ModulePlan, to_json, write_atomically
from inference_worker.contracts.merge import MergedModule
from inference_worker.contracts.merge_output import MemberWeights, MergeOutput
from inference_worker.errors import BadInput
from inference_worker.merging.carried import carried_shapes, carried_tensors, settings
from inference_worker.merging.compatibility import Member, check_members, choose_members, module_names, output_dtype
from inference_worker.merging.loading import Arena, load_group, plan_groups, present
from inference_worker.merging.recipe import write_recipe
from inference_worker.merging.registry import MergeMethod, find_method, parse_options
from inference_worker.merging.report import REPORT_NAME, report_json
from inference_worker.merging.stack import Merged

RECIPE_NAME = "recipe.json"

#: Every thread holds a group of modules; more than these add memory and find no disk to read faster.
MOST_THREADS = 8

Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class MergeReport:
    """What was written: ``files`` by name, the recipe, every module, the largest rank, the seconds it took."""

    files: Mapping[str, Path]
    recipe: dict[str, Any]
    modules: tuple[MergedModule, ...]
    rank: int
    seconds: float


@dataclass(frozen=True)
class _Plan:
    members: list[Member]
    method: MergeMethod
    options: Any
    rank: int | None
    seed: int
    names: list[str]
    groups: list[list[str]]


def _silent(fraction: float, message: str) -> None:
    """Progress that nobody watches."""


def merge_adapters(
    readers: Sequence[AdapterReader],
    weights: Sequence[float],
    method: str,
    out_dir: str | Path,
    *,
    rank: int | None = None,
    dtype: str = "same",
    output: MergeOutput | None = None,
    layer_weights: Sequence[MemberWeights] = (),
    seed: int = 0,
    options: Mapping[str, Any] | None = None,
    digests: Sequence[Mapping[str, str]] | None = None,
    threads: int | None = None,
    progress: Progress = _silent,
) -> MergeReport:
    """Merge ``readers`` with signed ``weights`` into a new PEFT adapter in ``out_dir``.

    Writes ``adapter_config.json``, ``adapter_model.safetensors``, ``recipe.json`` and ``merge_report.json``. The bytes
    depend on the arguments only, not on ``threads`` (default: torch's, at most 8). ``digests`` are the parents' sha256
    digests (``config``, ``weights``) where the caller knows them; else they are computed. ``progress`` is called
    between groups of modules on the calling thread and may raise to stop the work; nothing is left behind then.

    Raises ``BadInput`` for wrong arguments or values and ``Refused`` for what cannot be represented, both before any
    work starts wherever headers and configs tell.
    """
    started = time.monotonic()
    if output is not None:
        rank, dtype = _number_and_type(output, layer_weights)
    plan = _plan(readers, weights, method, rank, seed, options or {})
    out = Path(out_dir)
    wanted_dtype = output_dtype(plan.members, dtype)
    carried = carried_tensors(plan.members)
    progress(0.0, f"Merging {len(plan.names)} modules of {len(plan.members)} adapters by {plan.method.info.title}")
    workers = max(1, threads or min(torch.get_num_threads(), MOST_THREADS))
    with AdapterWriter(out, _module_plans(plan), wanted_dtype, carried_shapes(carried)) as writer:
        with _pool(workers) as pool:
            hashes = None if digests else [pool.submit(reader.digests) for reader in readers]
            modules = list(_merge_groups(plan, writer, pool, workers, progress))
            known = digests if hashes is None else [future.result() for future in hashes]
        for name, (member, own) in carried.items():
            writer.copy_extra(name, member.reader.file, member.reader.extras[own])
        progress(0.98, "Writing the adapter")
        ranks = {module.name: module.rank for module in modules}
        writer.finish(settings(plan.members, plan.names, carried))
    parameters = {"rank": rank, "dtype": dtype, "options": plan.options.model_dump(mode="json")}
    recipe = write_recipe(readers, weights, known or [], method, parameters, seed)
    write_atomically(out / RECIPE_NAME, to_json(recipe))
    write_atomically(out / REPORT_NAME, report_json(method, [reader.label for reader in readers], modules))
    progress(1.0, f"Merged into rank {max(ranks.values())}")
    files = {name: out / name for name in (CONFIG_NAME, WEIGHTS_NAME, RECIPE_NAME, REPORT_NAME)}
    return MergeReport(files, recipe, tuple(modules), max(ranks.values()), time.monotonic() - started)


def _number_and_type(output: MergeOutput, layer_weights: Sequence[MemberWeights]) -> tuple[int | None, str]:
    """Raises ``BadInput`` for what the engine does not do yet."""
    plain = MergeOutput(rank=output.rank, dtype=output.dtype) == output and not any(layer_weights)
    if not plain or not (output.rank is None or isinstance(output.rank, int)):
        raise BadInput("Only a number as rank and a type can be chosen yet", code="bad_output")
    return output.rank, output.dtype


def _plan(
    readers: Sequence[AdapterReader],
    weights: Sequence[float],
    method: str,
    rank: int | None,
    seed: int,
    options: Mapping[str, Any],
) -> _Plan:
    """Check everything that headers, configs and arguments tell. Raises ``BadInput`` and ``Refused``."""
    chosen = find_method(method)
    parsed = parse_options(chosen, options)
    members = choose_members(readers, weights)
    check_members(members, chosen.info, rank, parsed)
    names = module_names(members)
    return _Plan(members, chosen, parsed, rank, seed, names, plan_groups(members, names))


@contextmanager
def _pool(workers: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that each compute on one core. Splitting single products over cores would make the last bits depend on
    the number of cores; splitting the modules does not."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    pool = ThreadPoolExecutor(workers, thread_name_prefix="merge")
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        torch.set_num_threads(before)


def _module_plans(plan: _Plan) -> list[ModulePlan]:
    plans = []
    biased = any(member.reader.config.lora_bias for member in plan.members)
    for name in plan.names:
        infos = [info for _, info in present(plan.members, name)]
        linear = infos[0].kind == "linear"
        plans.append(
            ModulePlan(
                name=name,
                rank=sum(info.rank for info in infos),
                d_in=infos[0].d_in,
                d_out=infos[0].d_out,
                kind=infos[0].kind,
                bias=biased and linear,
                magnitude=any(info.magnitude is not None for info in infos),
            )
        )
    return plans


def _merge_groups(
    plan: _Plan, writer: AdapterWriter, pool: ThreadPoolExecutor, workers: int, progress: Progress
) -> Iterator[MergedModule]:
    """Merge the groups on the pool and write them in order, never more than one waiting per thread."""
    local = threading.local()

    def work(names: list[str]) -> list[Merged]:
        if not hasattr(local, "arena"):
            local.arena = Arena()
        stacks = load_group(plan.members, names, local.arena)
        return plan.method.merge(stacks, plan.rank, plan.options, plan.seed)

    pending: deque[tuple[list[str], Future[list[Merged]]]] = deque()
    waiting = iter(plan.groups)
    for names in islice(waiting, 2 * workers):
        pending.append((names, pool.submit(work, names)))
    done = 0
    while pending:
        names, future = pending.popleft()
        results = future.result()
        following = next(waiting, None)
        if following is not None:
            pending.append((following, pool.submit(work, following)))
        for name, merged in zip(names, results, strict=True):
            _write_module(plan, writer, name, merged)
            yield MergedModule(name=name, rank=merged.A.shape[0], error=merged.error, detail=merged.detail)
        done += len(names)
        progress(0.97 * done / len(plan.names), f"{done} of {len(plan.names)} modules")


def _write_module(plan: _Plan, writer: AdapterWriter, name: str, merged: Merged) -> None:
    bias = magnitude = None
    parts = list(present(plan.members, name))
    if parts[0][1].kind == "linear" and any(member.reader.config.lora_bias for member in plan.members):
        bias = torch.zeros(parts[0][1].d_out)
        for member, _ in parts:
            own = member.reader.read_bias(name)
            if own is not None:
                bias += member.weight * own
    for member, info in parts:
        if info.magnitude is not None:
            magnitude = member.reader.file.read(info.magnitude).to(torch.float32)
    writer.add(name, Factors(merged.A, merged.B), bias, magnitude)
