"""What is kept in memory for reuse: bounded by bytes, least recently used out first, never what a request is using."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from inference_worker.errors import EngineError

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


@dataclass
class Resident(Generic[Key, Value]):
    """One entry. ``users`` counts the requests in flight that need it."""

    key: Key
    value: Value
    nbytes: int
    users: int = 0
    pinned: bool = False


class CacheFull(EngineError):
    """Everything in memory is in use and something else does not fit; trying again later helps."""

    code = "cache_full"


class ResidentCache(Generic[Key, Value]):
    """Thread-safe. Two requests for one key load it once; a failing load fails only those who asked for it.

    ``acquire`` counts a user, ``release`` takes it back; only entries without users and pins are evicted. The limit
    holds for what is kept: an entry counts from the moment it has been loaded, or beforehand when its size is foretold.
    """

    def __init__(
        self,
        what: str,
        limit_bytes: int,
        size_of: Callable[[Value], int],
        on_evict: Callable[[Value], None] = lambda value: None,
    ) -> None:
        self._what = what
        self.limit_bytes = limit_bytes
        self._size_of = size_of
        self._on_evict = on_evict
        self._entries: OrderedDict[Key, Resident[Key, Value]] = OrderedDict()
        self._loading: dict[Key, threading.Event] = {}
        self._lock = threading.Lock()
        self._released = threading.Condition(self._lock)

    def acquire(self, key: Key, load: Callable[[], Value], foretell: Callable[[], int] | None = None) -> Value:
        """The value of ``key``, made by ``load`` if it is not held; ``foretell`` says its bytes before it is loaded.

        Raises what ``load`` raises, and ``CacheFull`` when it does not fit beside what is in use.
        """
        while True:
            with self._lock:
                entry = self._entries.get(key)
                if entry is not None:
                    entry.users += 1
                    self._entries.move_to_end(key)
                    return entry.value
                being_loaded = self._loading.get(key)
                if being_loaded is None:
                    loaded = self._loading[key] = threading.Event()
                    break
            being_loaded.wait()
        try:
            if foretell is not None:
                self._make_room(key, foretell())
            value = load()
            nbytes = self._size_of(value)
            self._make_room(key, nbytes)
            with self._lock:
                self._entries[key] = Resident(key, value, nbytes, users=1)
            return value
        finally:
            with self._lock:
                del self._loading[key]
            loaded.set()

    def release(self, key: Key) -> None:
        """One user less. After ``clear`` there is nothing to count."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is not None:
                entry.users -= 1
            self._released.notify_all()

    def wait_for_release(self, timeout: float) -> bool:
        """Sleep until a user gives something back, ``timeout`` seconds at most; False when nobody uses anything."""
        with self._lock:
            if not any(entry.users for entry in self._entries.values()):
                return False
            self._released.wait(timeout)
            return True

    def pin(self, key: Key, pinned: bool = True) -> bool:
        """Keep an entry from being evicted, or allow it again; False when it is not held."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is not None:
                entry.pinned = pinned
            return entry is not None

    @property
    def nbytes(self) -> int:
        with self._lock:
            return self._held()

    def entries(self) -> list[Resident[Key, Value]]:
        """What is held, most recently used last."""
        with self._lock:
            return list(self._entries.values())

    def clear(self) -> None:
        """Let go of everything, whoever uses it."""
        with self._lock:
            entries, self._entries = list(self._entries.values()), OrderedDict()
        for entry in entries:
            self._on_evict(entry.value)

    def _held(self) -> int:
        return sum(entry.nbytes for entry in self._entries.values())

    def _make_room(self, key: Key, nbytes: int) -> None:
        """Evict until ``nbytes`` fit; evicts nothing when they would not fit even then."""
        with self._lock:
            idle = [entry for entry in self._entries.values() if not entry.users and not entry.pinned]
            held = self._held()
            if held - sum(entry.nbytes for entry in idle) + nbytes > self.limit_bytes:
                raise CacheFull(
                    f"The {self._what} needs {nbytes:,} bytes, but {self.limit_bytes:,} bytes are the limit and "
                    f"{held:,} hold what is in use or may go. Try again later, or raise the limit.",
                    code=f"{self._what}_cache_full",
                    extra={"bytes": nbytes, "limit": self.limit_bytes, "held": held},
                )
            evicted = []
            for entry in idle:
                if held + nbytes <= self.limit_bytes:
                    break
                held -= entry.nbytes
                evicted.append(self._entries.pop(entry.key))
        for entry in evicted:
            self._on_evict(entry.value)
