"""Base shapes: what adapters of a base have to fit."""

from __future__ import annotations

from inference_worker.contracts.bases import BaseShapesRequest, BaseShapesResult
from inference_worker.serving.base_shapes import read_base_shapes
from inference_worker.tasks.context import JobContext


def handle(request: BaseShapesRequest, context: JobContext) -> BaseShapesResult:
    """Raises ``BadInput`` when the base cannot be read."""
    return read_base_shapes(request.base, context.progress)
