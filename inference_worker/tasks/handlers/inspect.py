"""Inspect: every check and measure of an adapter, and the vectors of its texts."""

from __future__ import annotations

from inference_worker.adapter_format.inspect import inspect_adapter
from inference_worker.contracts.inspect import InspectRequest, InspectResult
from inference_worker.retrieval.encoder import load_encoder, mean_direction
from inference_worker.tasks.context import JobContext


def handle(request: InspectRequest, context: JobContext) -> InspectResult:
    """Faults of the files are in the result; only missing blobs and bugs are raised."""
    context.progress(0.05, "Reading the files")
    config = context.blobs.path(request.adapter.config)
    weights = context.blobs.path(request.adapter.weights)
    result = inspect_adapter(config, weights, request.base_shapes)
    found = [problem for problem in result.problems if problem.severity == "error"]
    context.log(f"Checked {len(result.modules)} modules: {len(found)} errors.")
    texts = {kind: list(lines) for kind, lines in request.texts.items() if lines}
    if not result.valid or not texts:
        return result
    context.progress(0.8, "Embedding the description and the examples")
    encoder = load_encoder(context.encoder)
    embeddings = {kind: tuple(mean_direction(encoder.encode(lines)).tolist()) for kind, lines in texts.items()}
    return result.model_copy(update={"embeddings": embeddings, "encoder": encoder.name})
