"""Merges on trial: what an engine needs to answer as a merge would, without anything being stored."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from inference_worker.adapter_format.names import CONFIG_NAME, WEIGHTS_NAME
from inference_worker.contracts.common import AdapterFiles
from inference_worker.contracts.generate import WeightedAdapter
from inference_worker.contracts.merge import MergeOutput, MergeRequest
from inference_worker.tasks.context import JobContext
from inference_worker.tasks.handlers.merge import write_merge

LABEL = "the merge"


@dataclass(frozen=True)
class Trial:
    """A merge as the engine takes it. ``composed`` when the engine adds the adapters up itself."""

    members: tuple[WeightedAdapter, ...]
    composed: bool
    rank: int | None
    seconds: float


class Bench:
    """Makes trials in the job's own folder, which goes with the job however that ends."""

    def __init__(self, context: JobContext) -> None:
        self._context = context
        self._made: dict[tuple[str, str], Path] = {}

    def resolve(self, files: AdapterFiles) -> tuple[Path, Path]:
        """Config and weights on this machine: of a trial under way, or of an adapter in the blob store."""
        folder = self._made.get((files.config, files.weights))
        if folder is not None:
            return folder / CONFIG_NAME, folder / WEIGHTS_NAME
        return self._context.blobs.path(files.config), self._context.blobs.path(files.weights)

    @contextmanager
    def trial(self, request: MergeRequest, progress: Callable[[float, str], None]) -> Iterator[Trial]:
        """The merge of ``request``; its files are deleted on leaving. Raises what merging raises."""
        if composes(request):
            pairs = zip(request.adapters, request.weights, strict=True)
            members = tuple(WeightedAdapter(adapter=files, weight=weight) for files, weight in pairs)
            yield Trial(members, True, None, 0.0)
            return
        started = time.monotonic()
        folder = self._context.workdir / "trial"
        files: AdapterFiles | None = None
        try:
            report, _ = write_merge(request, self._context, folder, progress)
            files = AdapterFiles(
                label=LABEL, config=_digest(folder / CONFIG_NAME), weights=_digest(folder / WEIGHTS_NAME)
            )
            self._made[files.config, files.weights] = folder
            yield Trial((WeightedAdapter(adapter=files),), False, report.rank, time.monotonic() - started)
        finally:
            if files is not None:
                self._made.pop((files.config, files.weights), None)
            shutil.rmtree(folder, ignore_errors=True)


def composes(request: MergeRequest) -> bool:
    """Whether the engine's own sum of weighted adapters is this merge: the exact sum, with nothing else asked for.

    Rotating the rank space changes no answer, and the number format only how the sum would be stored.
    """
    written = MergeOutput(dtype=request.output.dtype, rotate=request.output.rotate)
    return request.method == "cat" and not request.layer_weights and request.output == written


def alone(adapters: Sequence[AdapterFiles]) -> list[tuple[WeightedAdapter, ...]]:
    """Each parent by itself at weight 1."""
    return [(WeightedAdapter(adapter=files),) for files in adapters]


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
