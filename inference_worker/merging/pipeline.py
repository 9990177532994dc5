"""Merge adapters: check, read groups of modules, merge, write. Memory stays near one group per thread."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar, get_args

import torch
from pydantic import ValidationError
from threadpoolctl import threadpool_limits

from inference_worker.adapter_format.names import CONFIG_NAME, WEIGHTS_NAME
from inference_worker.adapter_format.reader import AdapterReader, Factors
from inference_worker.adapter_format.writer import AdapterWriter, to_json
from inference_worker.contracts.common import Contract
from inference_worker.contracts.merge import MergedModule
from inference_worker.contracts.merge_output import MemberWeights, MergeOutput, OutputDtype, RankRule
from inference_worker.errors import BadInput
from inference_worker.merging.carried import carried_shapes, carried_tensors, settings
from inference_worker.merging.compatibility import output_dtype
from inference_worker.merging.loading import Arena, give_back_memory, load_group, present, read_vector
from inference_worker.merging.output import options_for, rotation_noise, shape_result, total_error
from inference_worker.merging.plan import MergePlan, make_plan
from inference_worker.merging.recipe import write_recipe
from inference_worker.merging.report import REPORT_NAME, report_json
from inference_worker.merging.stack import Merged, ModuleStack
from inference_worker.merging.trimming import Key, Visit, find_limits, with_limits

RECIPE_NAME = "recipe.json"

#: Every thread holds a group of modules; more than these add memory and find no disk to read faster.
MOST_THREADS = 8

Progress = Callable[[float, str], None]
Result = TypeVar("Result")


@dataclass(frozen=True)
class MergeReport:
    """What was written: ``files`` by name, the recipe, every module, the largest rank, the seconds it took."""

    files: Mapping[str, Path]
    recipe: dict[str, Any]
    modules: tuple[MergedModule, ...]
    rank: int
    seconds: float


def silent(fraction: float, message: str) -> None:
    """Progress that nobody watches."""


def merge_adapters(
    readers: Sequence[AdapterReader],
    weights: Sequence[float],
    method: str,
    out_dir: str | Path,
    *,
    rank: RankRule | None = None,
    dtype: str = "same",
    output: MergeOutput | None = None,
    layer_weights: Sequence[MemberWeights] = (),
    seed: int = 0,
    options: Mapping[str, Any] | None = None,
    digests: Sequence[Mapping[str, str]] | None = None,
    threads: int | None = None,
    progress: Progress = silent,
) -> MergeReport:
    """Merge ``readers`` with signed ``weights`` into a new PEFT adapter in ``out_dir``.

    ``output`` says what comes out; ``rank`` and ``dtype`` do where nothing else is wished. ``layer_weights`` are
    factors by group of modules, one list per adapter or none. The bytes depend on the arguments only, not on
    ``threads`` (default: torch's, at most 8). ``digests`` are the parents' sha256 digests (``config``, ``weights``)
    where the caller knows them. ``progress`` is called between groups of modules on the calling thread and may raise to
    stop the work; nothing is left behind then.

    Raises ``BadInput`` for wrong arguments or values and ``Refused`` for what cannot be represented, both before any
    work starts wherever headers and configs tell.
    """
    started = time.monotonic()
    output = output or _output(rank, dtype)
    plan = make_plan(readers, weights, layer_weights, method, options or {}, output, seed)
    carried = carried_tensors(plan.members, output)
    progress(0.0, f"Merging {len(plan.names)} modules of {len(plan.members)} adapters by {plan.method.info.title}")
    workers = max(1, threads or min(torch.get_num_threads(), MOST_THREADS))
    out, stored = Path(out_dir), output_dtype(plan.members, output.dtype)
    with AdapterWriter(out, plan.module_plans(), stored, carried_shapes(carried)) as writer:
        with _pool(workers) as pool:
            hashes = None if digests else [pool.submit(reader.digests) for reader in readers]
            groups = _Groups(plan, pool, workers)
            limits, ready = _look_first(plan, groups, progress)
            modules = list(_merge_groups(plan, writer, groups, limits, _from(ready, progress)))
            known = digests if hashes is None else [future.result() for future in hashes]
        for name, (member, own) in carried.items():
            writer.copy_extra(name, member.reader.file, member.reader.extras[own], member.label)
        progress(0.98, "Writing the adapter")
        recipe = write_recipe(plan, readers, weights, layer_weights, known or [])
        report = report_json(method, [reader.label for reader in readers], modules)
        notes = {RECIPE_NAME: to_json(recipe), REPORT_NAME: report}
        writer.finish(settings(plan.members, plan.names, carried), notes)
    largest = max(module.rank for module in modules)
    progress(1.0, f"Merged into rank {largest}")
    files = {name: out / name for name in (CONFIG_NAME, WEIGHTS_NAME, RECIPE_NAME, REPORT_NAME)}
    return MergeReport(files, recipe, tuple(modules), largest, time.monotonic() - started)


def _output(rank: RankRule | None, dtype: str) -> MergeOutput:
    """The output that a rank and a type alone describe. Raises ``BadInput``."""
    if dtype not in get_args(OutputDtype):
        raise BadInput(f"There is no output type {dtype!r}: use {', '.join(get_args(OutputDtype))}", code="bad_dtype")
    try:
        return MergeOutput.model_validate({"rank": rank, "dtype": dtype})
    except ValidationError as fault:
        raise BadInput(f"{rank!r} is no rank", code="bad_rank") from fault


@contextmanager
def _pool(workers: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that each compute on one core. Splitting single products over cores would make the last bits depend on
    the number of cores; splitting the modules does not."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    pool = ThreadPoolExecutor(workers, thread_name_prefix="merge")
    try:
        with threadpool_limits(1, user_api="blas"):
            yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        torch.set_num_threads(before)


class _Groups:
    """The groups of a plan, read and worked on by the pool."""

    def __init__(self, plan: MergePlan, pool: ThreadPoolExecutor, workers: int) -> None:
        self._plan, self._pool, self._workers = plan, pool, workers
        self._local = threading.local()

    def each(self, work: Callable[[list[ModuleStack]], Result]) -> Iterator[tuple[list[str], Result]]:
        """What ``work`` makes of every group, in order, with never more than one result waiting per thread. The stacks
        lie in buffers that the next group of the same thread uses again."""
        pending: deque[tuple[list[str], Future[Result]]] = deque()
        waiting = iter(self._plan.groups)

        def submit(names: list[str]) -> None:
            pending.append((names, self._pool.submit(self._work, work, names)))

        for names in islice(waiting, 2 * self._workers):
            submit(names)
        while pending:
            names, future = pending.popleft()
            result = future.result()
            following = next(waiting, None)
            if following is not None:
                submit(following)
            yield names, result

    def _work(self, work: Callable[[list[ModuleStack]], Result], names: list[str]) -> Result:
        if not hasattr(self._local, "arena"):
            self._local.arena = Arena()
        result = work(load_group(self._plan.members, names, self._local.arena))
        give_back_memory()
        return result


def _look_first(plan: MergePlan, groups: _Groups, progress: Progress) -> tuple[Mapping[Key, float], float]:
    """What every adapter keeps, where that depends on all of its modules, and the progress that it took."""
    matrices, options = plan.method.matrices, plan.options
    density = plan.method.kept_of_whole(options)
    if matrices is None or density is None:
        return {}, 0.0
    done = 0

    def show(visit: Visit) -> None:
        nonlocal done

        def look(stacks: list[ModuleStack]) -> None:
            for stack in stacks:
                with _taking_apart(plan, stack.name):
                    found = matrices(stack, options, plan.seed)
                for updates in found:
                    visit(updates)

        for names, _ in groups.each(look):
            done += len(names)
            progress(0.15 * done / len(plan.names), "Looking which entries are the largest of each adapter")

    return find_limits(show, density), 0.3


def _from(start: float, progress: Progress) -> Progress:
    """Progress of what begins at ``start``."""
    return lambda fraction, words: progress(start + (1.0 - start) * fraction, words)


def _merge_groups(
    plan: MergePlan, writer: AdapterWriter, groups: _Groups, limits: Mapping[Key, float], progress: Progress
) -> Iterator[MergedModule]:
    """Merge the groups on the pool and write them in order."""

    def work(stacks: list[ModuleStack]) -> list[tuple[Merged, float]]:
        results = _merge_stacks(plan, [with_limits(stack, limits) for stack in stacks] if limits else stacks)
        for stack, (merged, _) in zip(stacks, results, strict=True):
            merged.A, merged.B = writer.cast(stack.name, merged.A), writer.cast(stack.name, merged.B)
        return results

    done = 0
    for names, results in groups.each(work):
        for name, (merged, cut) in zip(names, results, strict=True):
            _write_module(plan, writer, name, merged)
            # Where ranks follow from the parents, the method's error is a distance and not of a cut.
            error = merged.error if plan.method.info.rank == "same" else total_error(merged.error, cut)
            # What the method tells of its parents' units is what a rotation is to hide.
            detail = {} if plan.output.rotate else merged.detail
            yield MergedModule(name=name, rank=merged.A.shape[0], error=error, cut=cut, detail=detail)
        done += len(names)
        progress(0.97 * done / len(plan.names), f"{done} of {len(plan.names)} modules")


def _merge_stacks(plan: MergePlan, stacks: Sequence[ModuleStack]) -> list[tuple[Merged, float]]:
    """Results and what was cut off them, in order. The method gets the stacks that ask the same of it at once."""
    goals = [plan.goal(stack.name, stack.ranks) for stack in stacks]
    found: dict[int, tuple[Merged, float]] = {}
    for wish in dict.fromkeys((goal.ask, goal.inertia) for goal in goals):
        chosen = [index for index, goal in enumerate(goals) if (goal.ask, goal.inertia) == wish]
        options = options_for(goals[chosen[0]], plan.options)
        results = _call_method(plan, [stacks[index] for index in chosen], wish[0], options)
        for index, merged in zip(chosen, results, strict=True):
            turn = rotation_noise(plan.seed, stacks[index].name, merged.A.shape[0]) if plan.output.rotate else None
            with _taking_apart(plan, stacks[index].name):
                found[index] = shape_result(merged, goals[index], turn)
    return [found[index] for index in range(len(stacks))]


def _call_method(plan: MergePlan, stacks: list[ModuleStack], rank: int | None, options: Contract) -> list[Merged]:
    """What the method makes of ``stacks``, in order."""
    with suppress(torch.linalg.LinAlgError):
        return plan.method.merge(stacks, rank, options, plan.seed)
    found = []
    for stack in stacks:  # One by one, to name the module at fault.
        with _taking_apart(plan, stack.name):
            found += plan.method.merge([stack], rank, options, plan.seed)
    return found


@contextmanager
def _taking_apart(plan: MergePlan, module: str) -> Iterator[None]:
    """Raise ``BadInput`` naming ``module`` where its numbers overflow on the way to singular values or angles."""
    method = plan.method.info
    try:
        yield
    except torch.linalg.LinAlgError as fault:
        message = (
            f"{module}: {method.title} ({method.name}) cannot take its update apart: the numbers are too large and "
            "overflow on the way. Use smaller weights, leave the module out, or add up as it is with cat"
        )
        raise BadInput(message, code="overflow", extra={"module": module, "method": method.name}) from fault


def _write_module(plan: MergePlan, writer: AdapterWriter, name: str, merged: Merged) -> None:
    bias = magnitude = None
    parts = list(present(plan.members, name))
    if plan.biased and parts[0][1].kind == "linear":
        bias = torch.zeros(parts[0][1].d_out)
        for member, info in parts:
            if info.bias is not None:
                bias += member.weights[name] * read_vector(member, info.bias).mul_(info.scale)
    for member, info in parts:
        if info.magnitude is not None:
            magnitude = read_vector(member, info.magnitude)
    writer.add(name, Factors(merged.A, merged.B), bias, magnitude)
