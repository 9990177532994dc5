"""Merge: adapters to one adapter, stored file by file."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from inference_worker.adapter_format.reader import open_adapter
from inference_worker.contracts.merge import MergeRequest, MergeResult
from inference_worker.merging import merge_adapters
from inference_worker.merging.pipeline import MergeReport
from inference_worker.tasks.context import JobContext


def handle(request: MergeRequest, context: JobContext) -> MergeResult:
    """Raises ``Refused`` and ``BadInput`` with the adapter or option named."""
    started = time.monotonic()
    folder = context.workdir / "merged"
    report = write_merge(request, context, folder, context.progress, context.log)
    context.log("Storing the merged adapter.")
    files_written = context.store(folder)
    return MergeResult(
        files=files_written,
        recipe=report.recipe,
        modules=len(report.modules),
        rank=report.rank,
        seconds=round(time.monotonic() - started, 3),
    )


def _unsaid(words: str) -> None:
    """For log lines that nobody asked for."""


def write_merge(
    request: MergeRequest,
    context: JobContext,
    folder: Path,
    progress: Callable[[float, str], None],
    say: Callable[[str], None] = _unsaid,
) -> MergeReport:
    """Merge what the plan names into the new ``folder``. Previews and sweeps merge by it, too."""
    folder.mkdir()
    with ExitStack() as stack:
        readers = []
        for files in request.adapters:
            config, weights = context.blobs.path(files.config), context.blobs.path(files.weights)
            readers.append(stack.enter_context(open_adapter(config, weights, files.label)))
            say(f"Opened {files.label}.")
        return merge_adapters(
            readers,
            request.weights,
            request.method,
            folder,
            output=request.output,
            layer_weights=request.layer_weights,
            seed=request.seed,
            options=request.options,
            digests=[{"config": files.config, "weights": files.weights} for files in request.adapters],
            progress=progress,
        )
