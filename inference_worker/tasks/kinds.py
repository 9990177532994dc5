"""Which function runs a kind of job. Contracts, queues and limits of the kinds are in ``contracts.jobs``."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable

from inference_worker.contracts.common import Contract
from inference_worker.contracts.jobs import KINDS
from inference_worker.errors import EngineError
from inference_worker.tasks.context import JobContext

Handler = Callable[..., Contract]

#: Kind -> ``module:function``. Named, not imported: a worker loads only the libraries of the queues it serves.
HANDLERS: dict[str, str] = {
    "inspect": "inference_worker.tasks.handlers.inspect:handle",
    "compose_check": "inference_worker.tasks.handlers.compose_check:handle",
    "embed": "inference_worker.tasks.handlers.embed:handle",
    "base_shapes": "inference_worker.tasks.handlers.base_shapes:handle",
    "merge": "inference_worker.tasks.handlers.merge:handle",
    "fetch": "inference_worker.tasks.handlers.fetch:handle",
    "export": "inference_worker.tasks.handlers.export:handle",
    "evaluate": "inference_worker.tasks.handlers.evaluate:handle",
    "merge_preview": "inference_worker.tasks.handlers.merge_preview:handle",
    "merge_sweep": "inference_worker.tasks.handlers.merge_sweep:handle",
}


def handler_of(kind: str) -> Handler:
    """Raises ``EngineError`` for a kind that this worker does not know."""
    if kind not in HANDLERS:
        raise EngineError(
            f"This worker does not know jobs of the kind “{kind}”; it may be older than the marketplace.",
            code="unknown_kind",
        )
    module, _, name = HANDLERS[kind].partition(":")
    handler: Handler = getattr(importlib.import_module(module), name)
    return handler


def run_handler(kind: str, request: dict[str, object], context: JobContext) -> Contract:
    """Parse the request by the kind's contract and run its handler."""
    handler = handler_of(kind)
    return handler(KINDS[kind].request.model_validate(request), context)


def preload(queues: Iterable[str]) -> list[str]:
    """Import the handlers of these queues, so that forked children start with their libraries; the kinds' names."""
    wanted = set(queues)
    kinds = [kind for kind, spec in KINDS.items() if spec.queue in wanted and kind in HANDLERS]
    for kind in kinds:
        handler_of(kind)
    return kinds
