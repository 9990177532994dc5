"""What a worker writes into Redis about an attempt: that it has it, how far it is; and reads: whether to stop."""

from __future__ import annotations

import json
from collections import deque

import redis
import structlog

from inference_worker.contracts import keys
from inference_worker.contracts.jobs import LogLine

log = structlog.get_logger(__name__)

LOG_LINES = 200


class Board:
    """One attempt's keys. Apart from ``claim``, a Redis that is away costs news and nothing else."""

    def __init__(self, client: redis.Redis, job: str, attempt: int, worker: str, claim_seconds: float) -> None:
        self._redis = client
        self._job, self._attempt = job, attempt
        self._worker = worker
        self._lifetime = int(claim_seconds * 1000)
        self.progress, self.message = 0.0, ""
        self.lines: deque[LogLine] = deque(maxlen=LOG_LINES)

    def claim(self) -> bool:
        """Take the attempt; False when another worker holds it. Raises ``redis.RedisError``."""
        name = keys.job_claim(self._job, self._attempt)
        return bool(self._redis.set(name, self._worker, nx=True, px=self._lifetime))

    def beat(self) -> None:
        """Renew the claim and write everything again: an emptied Redis is whole after one heartbeat."""
        self._write(renew=True)

    def show(self) -> None:
        """Write progress and log and wake the readers."""
        self._write(renew=False)

    def stop_requested(self) -> bool:
        try:
            return bool(self._redis.exists(keys.job_cancel(self._job, self._attempt)))
        except redis.RedisError:
            return False  # The next heartbeat logs that Redis is away.

    def release(self) -> None:
        try:
            self._redis.delete(self._claim)
        except redis.RedisError as error:
            log.warning("claim_not_released", fault=repr(error))  # It ends by its lifetime.

    @property
    def _claim(self) -> str:
        return keys.job_claim(self._job, self._attempt)

    def _state(self) -> str:
        lines = [line.model_dump() for line in self.lines]
        return json.dumps({"progress": self.progress, "message": self.message, "log": lines})

    def _write(self, *, renew: bool) -> None:
        try:
            with self._redis.pipeline(transaction=False) as pipe:
                if renew:
                    pipe.set(self._claim, self._worker, px=self._lifetime)
                pipe.set(keys.job_live(self._job, self._attempt), self._state(), ex=keys.LIVE_LIFETIME)
                pipe.publish(keys.job_channel(self._job), "")
                pipe.execute()
        except redis.RedisError as error:
            log.warning("redis_away", fault=repr(error))
