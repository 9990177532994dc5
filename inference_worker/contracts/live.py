"""What a live worker says of itself in Redis (``keys.live_worker``), renewed every few seconds."""

from __future__ import annotations

from inference_worker.contracts.common import Contract

#: Seconds between two signs of life, and how long one is believed.
INTERVAL = 3.0
LIFETIME = 10.0

QUERY_QUEUE = "query"
GENERATE_QUEUE = "generate"


class LiveBase(Contract):
    """One base in memory. ``adapters`` are labels (``owner/name``)."""

    name: str
    source: str
    running: int = 0
    waiting: int = 0
    adapters: tuple[str, ...] = ()
    device: str = ""
    dtype: str = ""


class LiveStatus(Contract):
    """``queue`` is the worker's own queue; ``load`` the number of generations that run or wait; ``encoder`` is empty
    when queries cannot be embedded."""

    worker: str
    queue: str
    encoder: str = ""
    bases: tuple[LiveBase, ...] = ()
    load: int = 0
    at: float  # Unix time, seconds
