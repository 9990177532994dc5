"""What an operator decides about a worker, from the environment. No database address is among it."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass

from inference_worker.contracts import keys
from inference_worker.contracts.check_limits import Limits


@dataclass(frozen=True)
class WorkerConfig:
    """``heartbeat`` in seconds; it has to be the marketplace's ``JOB_HEARTBEAT_SECONDS``. ``limits`` are those of the
    checks of uploads, read here so that a wrong value ends the worker at its start and not an upload's check."""

    redis_url: str
    broker_url: str
    blob_store_url: str
    blob_cache: str | None
    heartbeat: float
    encoder: str
    default_base: str
    name: str
    limits: Limits

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> WorkerConfig:
        """Raises ``KeyError`` naming a missing address, ``ValueError`` naming a limit that is no number."""
        redis_url = environment["REDIS_URL"]
        return cls(
            redis_url=redis_url,
            broker_url=environment.get("CELERY_BROKER_URL") or redis_url,
            blob_store_url=environment["BLOB_STORE_URL"],
            blob_cache=environment.get("BLOB_CACHE") or None,
            heartbeat=float(environment.get("JOB_HEARTBEAT_SECONDS") or 3.0),
            encoder=environment.get("ENCODER") or "all-MiniLM-L6-v2",
            default_base=environment.get("DEFAULT_BASE", ""),
            name=environment.get("WORKER_NAME") or f"{socket.gethostname()}-{os.getpid()}",
            limits=Limits.from_environment(environment),
        )

    @property
    def claim_seconds(self) -> float:
        """Lifetime of a claim: a worker that misses this many heartbeats has lost it."""
        return self.heartbeat * keys.MISSED_HEARTBEATS
