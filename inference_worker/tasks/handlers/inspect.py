"""Inspect: every check and measure of an adapter.

Imports no more than that needs: a job's child has all memory of the process that it was forked from.
"""

from __future__ import annotations

from inference_worker.adapter_format.inspect import inspect_adapter
from inference_worker.contracts.inspect import InspectRequest, InspectResult
from inference_worker.tasks.context import JobContext


def handle(request: InspectRequest, context: JobContext) -> InspectResult:
    """Faults of the files are in the result; only missing blobs and bugs are raised."""
    context.progress(0.05, "Reading the files")
    config = context.blobs.path(request.adapter.config)
    weights = context.blobs.path(request.adapter.weights)
    result = inspect_adapter(config, weights, request.base_shapes)
    found = [problem for problem in result.problems if problem.severity == "error"]
    context.log(f"Checked {len(result.modules)} modules: {len(found)} errors.")
    return result
