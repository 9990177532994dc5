"""Names of the Redis keys that the marketplace and the workers share. All of them have a lifetime.

Redis holds only what may be lost: who works on what, how far it is, and whether it should stop. What must not be lost
lies in Postgres and in the blob store.
"""

from __future__ import annotations

#: A dead worker is noticed when this many heartbeats have been missed.
MISSED_HEARTBEATS = 3
#: How long the last progress of a job stays readable, in seconds.
LIVE_LIFETIME = 3600
#: How long a wish to stop stays, in seconds; the reaper renews it while the job runs.
CANCEL_LIFETIME = 3600


def job_claim(job: str, attempt: int) -> str:
    """Held by the worker that runs this attempt and renewed with each heartbeat; its value is the worker's name."""
    return f"job:{job}:{attempt}:claim"


def job_live(job: str, attempt: int) -> str:
    """JSON ``{"progress", "message", "log": [{"at", "message"}]}`` of a running attempt."""
    return f"job:{job}:{attempt}:live"


def job_cancel(job: str, attempt: int) -> str:
    """Exists when the attempt is to be stopped."""
    return f"job:{job}:{attempt}:cancel"


def job_missing(job: str, attempt: int) -> str:
    """When the reaper first saw the attempt without a claim (Unix time)."""
    return f"job:{job}:{attempt}:missing"


def job_channel(job: str) -> str:
    """Pub/sub channel that wakes readers of this job; messages have no content of their own."""
    return f"job:{job}:changed"


def reply(request: str) -> str:
    """List onto which the answer to a query embedding is pushed."""
    return f"reply:{request}"


def generation(request: str) -> str:
    """Stream of ``GenerateEvent``s, each under the field ``event``."""
    return f"gen:{request}"


def generation_cancel(request: str) -> str:
    """Exists when the generation is to be stopped."""
    return f"gen:{request}:cancel"


#: Sorted set: name of a live worker -> Unix time of its last sign of life.
LIVE_WORKERS = "live"


def live_worker(name: str) -> str:
    """JSON of what a live worker holds: see ``inference_worker.contracts.live``."""
    return f"live:{name}"
