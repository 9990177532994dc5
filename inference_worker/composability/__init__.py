"""How well adapters go together, from their factors alone: no base, no dense Δ, one module in memory at a time."""

from inference_worker.composability.pairs import compare_adapters

__all__ = ["compare_adapters"]
