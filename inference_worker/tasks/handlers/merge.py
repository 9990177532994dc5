"""Merge: adapters to one adapter, stored file by file."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from inference_worker.adapter_format.reader import open_adapter
from inference_worker.contracts.merge import MergeRequest, MergeResult
from inference_worker.contracts.merge_fit import FoundWeights
from inference_worker.merging import merge_adapters
from inference_worker.merging.pipeline import MergeReport
from inference_worker.tasks.context import JobContext


def handle(request: MergeRequest, context: JobContext) -> MergeResult:
    """Raises ``Refused`` and ``BadInput`` with the adapter or option named."""
    started = time.monotonic()
    folder = context.workdir / "merged"
    report, found = write_merge(request, context, folder, context.progress, context.log)
    context.log("Storing the merged adapter.")
    files_written = context.store(folder)
    return MergeResult(
        files=files_written,
        recipe=report.recipe,
        modules=len(report.modules),
        rank=report.rank,
        seconds=round(time.monotonic() - started, 3),
        found=found,
    )


def _unsaid(words: str) -> None:
    """For log lines that nobody asked for."""


def write_merge(
    request: MergeRequest,
    context: JobContext,
    folder: Path,
    progress: Callable[[float, str], None],
    say: Callable[[str], None] = _unsaid,
) -> tuple[MergeReport, FoundWeights | None]:
    """Merge what the plan names into the new ``folder``, with weights from examples where it has some. Previews and
    sweeps merge by it, too."""
    folder.mkdir()
    with ExitStack() as stack:
        readers = []
        for files in request.adapters:
            paths = context.blobs.path(files.config), context.blobs.path(files.weights)
            readers.append(stack.enter_context(open_adapter(*paths, files.label)))
            say(f"Opened {files.label}.")
        weights, layer_weights, found = request.weights, request.layer_weights, None
        if request.fit is not None:
            # Loading what a base needs takes longer than most merges, so only merges with examples do it.
            fitting = importlib.import_module("inference_worker.fitting.merge_weights")
            weights, layer_weights, found = fitting.find_weights(
                request.fit,
                readers,
                weights,
                request.method,
                request.options,
                output=request.output,
                seed=request.seed,
                progress=progress,
            )
            say(f"{found.words().capitalize()}.")
        report = merge_adapters(
            readers,
            weights,
            request.method,
            folder,
            output=request.output,
            layer_weights=layer_weights,
            seed=request.seed,
            options=request.options,
            digests=[{"config": files.config, "weights": files.weights} for files in request.adapters],
            progress=progress,
        )
        return report, found
