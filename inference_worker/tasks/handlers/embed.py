"""Embed: texts to vectors, one mean per item."""

from __future__ import annotations

from inference_worker.contracts.embed import EmbedRequest, EmbedResult
from inference_worker.retrieval.encoder import load_encoder, mean_direction
from inference_worker.tasks.context import JobContext


def handle(request: EmbedRequest, context: JobContext) -> EmbedResult:
    """Raises ``BadInput`` when the encoder cannot be loaded."""
    encoder = load_encoder(request.encoder or context.encoder)
    vectors = {}
    for number, item in enumerate(request.items, start=1):
        vectors[item.key] = tuple(mean_direction(encoder.encode(list(item.texts))).tolist())
        context.progress(number / len(request.items), f"{number} of {len(request.items)} embedded")
    return EmbedResult(encoder=encoder.name, dim=encoder.dim, vectors=vectors)
