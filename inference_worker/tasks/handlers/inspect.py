"""Inspect: every check and measure of an adapter.

Imports no more than that needs: a job's child has all memory of the process that it was forked from.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from inference_worker.adapter_format.inspect import inspect_adapter
from inference_worker.contracts.inspect import InspectRequest, InspectResult
from inference_worker.errors import BlobCorrupt
from inference_worker.tasks.context import JobContext


def handle(request: InspectRequest, context: JobContext) -> InspectResult:
    """Faults of the files are in the result. Raises ``BlobMissing``, and ``BlobCorrupt`` where the store's bytes are
    not those that were uploaded: a verdict is about a digest."""
    context.progress(0.05, "Reading the files")
    config = _verified(request.adapter.config, context)
    weights = _verified(request.adapter.weights, context)
    context.progress(0.2, "Checking the files")
    result = inspect_adapter(config, weights, request.base_shapes)
    found = [problem for problem in result.problems if problem.severity == "error"]
    context.log(f"Checked {len(result.modules)} modules: {len(found)} errors.")
    return result


def _verified(sha256: str, context: JobContext) -> Path:
    path = context.blobs.path(sha256)
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise BlobCorrupt(f"The bytes stored as {sha256} have the digest {found}.")
    return path
