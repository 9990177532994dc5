"""From the engines' handles to Redis streams: one thread for all generations, tokens of one moment as one entry."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

import redis
import structlog

from inference_worker.contracts import keys
from inference_worker.contracts.generate import GenerateEvent
from inference_worker.serving.sequence import DEADLINE_GRACE, GenerationHandle

log = structlog.get_logger(__name__)

#: Seconds between two rounds: short enough to read as a flow, long enough that fast models do not flood Redis.
ROUND = 0.03
CANCEL_INTERVAL = 0.25
#: Entries kept of a stream, and seconds that an ended one stays for a late reader.
MAX_ENTRIES = 5000
LIFETIME = 600


@dataclass
class _Reader:
    handle: GenerationHandle
    unsent: list[GenerateEvent] = field(default_factory=list)

    @property
    def ended(self) -> bool:
        return bool(self.unsent) and self.unsent[-1].kind in ("done", "error")


class StreamWriter:
    """Drains every handle given to ``follow`` until its last event is written."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client
        self._readers: dict[str, _Reader] = {}
        self._wake = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="stream-writer", daemon=True)
        self._thread.start()

    @property
    def load(self) -> int:
        return len(self._readers)

    def follow(self, handle: GenerationHandle) -> None:
        with self._wake:
            self._readers[handle.request] = _Reader(handle)
            self._wake.notify()

    def close(self) -> None:
        """Write what has come so far and stop."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        next_look = 0.0
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._readers or self._closing)
                readers = list(self._readers.values())
                closing = self._closing
            for reader in readers:
                collect(reader)
            try:
                self._write(readers)
                if time.monotonic() >= next_look:
                    next_look = time.monotonic() + CANCEL_INTERVAL
                    self._cancel_where_asked(readers)
            except redis.RedisError as error:
                log.warning("redis_away", fault=repr(error), generations=len(readers))
                time.sleep(0.5)  # Events stay with their readers until Redis is back.
            if closing:
                return
            time.sleep(ROUND)

    def _write(self, readers: list[_Reader]) -> None:
        due = [reader for reader in readers if reader.unsent]
        if not due:
            return
        with self._redis.pipeline(transaction=False) as pipe:
            for reader in due:
                name = keys.generation(reader.handle.request)
                for event in reader.unsent:
                    pipe.xadd(name, {"event": event.model_dump_json()}, maxlen=MAX_ENTRIES, approximate=True)
                pipe.expire(name, LIFETIME)
            pipe.execute()
        with self._wake:
            for reader in due:
                if reader.ended:
                    self._readers.pop(reader.handle.request, None)
                reader.unsent.clear()

    def _cancel_where_asked(self, readers: list[_Reader]) -> None:
        open_ones = [reader for reader in readers if not reader.handle.cancelled]
        if not open_ones:
            return
        asked = self._redis.mget([keys.generation_cancel(reader.handle.request) for reader in open_ones])
        for reader, wish in zip(open_ones, asked, strict=True):
            if wish is not None:
                reader.handle.cancel()


def collect(reader: _Reader) -> None:
    """Move a handle's waiting events to the reader, neighbouring tokens joined to one event."""
    handle = reader.handle
    if time.time() > handle.deadline + DEADLINE_GRACE:
        # The engine is stuck, in loading a base for instance; the reader is not to wait with it.
        handle.send(GenerateEvent(kind="done", finish_reason="deadline"))
    while not reader.ended and (event := handle.get(timeout=0)) is not None:
        last = reader.unsent[-1] if reader.unsent else None
        if last is not None and last.kind == event.kind == "token":
            reader.unsent[-1] = event.model_copy(update={"text": last.text + event.text})
        else:
            reader.unsent.append(event)
