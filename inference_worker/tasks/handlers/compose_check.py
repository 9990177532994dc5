"""Compose check: what adapters have in common, pair by pair.

In the inspect queue, because somebody looks at the page meanwhile: like the checks it needs no more than factors, and
loads no library beside torch.
"""

from __future__ import annotations

import time
from contextlib import ExitStack

from inference_worker.adapter_format.reader import open_adapter
from inference_worker.composability import compare_adapters
from inference_worker.contracts.composability import ComposeCheckRequest, ComposeCheckResult
from inference_worker.tasks.context import JobContext


def handle(request: ComposeCheckRequest, context: JobContext) -> ComposeCheckResult:
    """Raises ``BadInput`` naming the adapter whose files cannot be read or hold values that are not finite."""
    started = time.monotonic()
    with ExitStack() as stack:
        readers = [
            stack.enter_context(
                open_adapter(context.blobs.path(files.config), context.blobs.path(files.weights), files.label)
            )
            for files in request.adapters
        ]
        pairs = compare_adapters(readers, request.pairs, progress=context.progress)
    context.log(f"Compared {len(pairs)} pairs of {len(readers)} adapters.")
    return ComposeCheckResult(pairs=tuple(pairs), seconds=round(time.monotonic() - started, 3))
