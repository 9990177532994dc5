"""All bases of one process: loaded when first asked for, kept while they fit, requests to one base batched together."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import torch

from inference_worker.contracts.bases import base_source
from inference_worker.contracts.common import BaseFiles
from inference_worker.contracts.generate import GenerateRequest
from inference_worker.errors import EngineError
from inference_worker.serving.base_loader import LoadedBase, checkpoint_dtype, load_base, load_config
from inference_worker.serving.base_shapes import empty_model
from inference_worker.serving.engine import Engine, Resolve, as_engine_error
from inference_worker.serving.resident_cache import ResidentCache
from inference_worker.serving.scheduler import QueueFull
from inference_worker.serving.sequence import GenerationHandle
from inference_worker.serving.settings import EngineSettings

log = logging.getLogger(__name__)

BaseKey = tuple[str, str | None]

#: Requests that may be starting at once. Those that wait cost a sleeping thread each.
START_THREADS = 1024


class EnginePool:
    """Thread-safe; ``submit`` returns at once, everything slow happens beside the running engines.

    A base that cannot be loaded, an adapter that cannot be read and a prompt that does not fit fail their own request
    with an ``error`` event and nothing else. Every request starts in a thread of its own, and only reading is limited
    to ``loader_threads`` at a time, of bases and of adapters each: one that waits for a base that somebody else loads,
    or for room in a cache, keeps nobody from starting.
    """

    def __init__(self, settings: EngineSettings | None = None) -> None:
        self.settings = settings or EngineSettings()
        self._bases: ResidentCache[BaseKey, Engine] = ResidentCache(
            "base", self.settings.base_cache_bytes, lambda engine: engine.base.nbytes, lambda engine: engine.close()
        )
        self._loading_bases = threading.BoundedSemaphore(self.settings.loader_threads)
        self._reading_adapters = threading.BoundedSemaphore(self.settings.loader_threads)
        self._starting: Counter[BaseKey] = Counter()
        self._lock = threading.Lock()
        self._starters = ThreadPoolExecutor(START_THREADS, thread_name_prefix="engine-start")

    def submit(self, request: GenerateRequest, resolve: Resolve) -> GenerationHandle:
        """Start a generation. ``resolve`` maps ``AdapterFiles`` to local (config path, weights path)."""
        handle = GenerationHandle(request.request, request.deadline)
        key = base_key(request.base)
        try:
            self._count_start(key)
            future = self._starters.submit(self._start, request, resolve, handle)
        except QueueFull as error:
            handle.fail(error)
        except RuntimeError:  # The executor has been shut down.
            handle.fail(shutting_down())
        else:
            future.add_done_callback(partial(self._started, key, handle))
        return handle

    def _count_start(self, key: BaseKey) -> None:
        """Raises ``QueueFull`` when as many requests wait for the base's start as may wait at all."""
        with self._lock:
            if self._starting[key] >= self.settings.max_waiting:
                raise QueueFull(
                    f"{self._starting[key]} requests wait for this base to be ready. Try again in a moment.",
                    extra={"waiting": self._starting[key]},
                )
            self._starting[key] += 1

    def _started(self, key: BaseKey, handle: GenerationHandle, done: Future[None]) -> None:
        with self._lock:
            self._starting[key] -= 1
            if not self._starting[key]:
                del self._starting[key]
        if done.cancelled():
            handle.fail(shutting_down())

    def preload(self, base: BaseFiles, pinned: bool = False) -> LoadedBase:
        """Load ``base`` now, so that the first request does not wait; ``pinned`` keeps it. Raises as loading does."""
        engine = self._engine(base)
        self._bases.pin(base_key(base), pinned)
        self._bases.release(base_key(base))
        return engine.base

    def residency(self) -> dict[str, object]:
        """Bases and adapters in memory, with bytes and load."""
        return {
            "bytes": self._bases.nbytes,
            "limit_bytes": self._bases.limit_bytes,
            "bases": [
                {**entry.value.residency(), "revision": entry.key[1], "users": entry.users, "pinned": entry.pinned}
                for entry in self._bases.entries()
            ],
        }

    def close(self) -> None:
        """Stop every engine; generations in flight end with the error ``engine_closed``."""
        self._starters.shutdown(wait=False, cancel_futures=True)
        self._bases.clear()
        self._starters.shutdown(wait=True)
        self._bases.clear()

    def __enter__(self) -> EnginePool:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _start(self, request: GenerateRequest, resolve: Resolve, handle: GenerationHandle) -> None:
        key = base_key(request.base)
        try:
            engine = self._engine(request.base)
            try:
                engine.submit(request, resolve, handle, release=partial(self._bases.release, key))
            except BaseException:
                self._bases.release(key)
                raise
        except EngineError as error:
            handle.fail(error)
        except Exception as error:
            log.exception("Request %s could not be started", request.request)
            handle.fail(as_engine_error(error))

    def _engine(self, base: BaseFiles) -> Engine:
        return self._bases.acquire(base_key(base), partial(self._load, base), partial(self._foretell, base))

    def _load(self, base: BaseFiles) -> Engine:
        with self._loading_bases:
            return Engine(load_base(base, self.settings), self.settings, self._reading_adapters)

    def _foretell(self, base: BaseFiles) -> int:
        """Bytes that ``base`` will take, from its config alone."""
        config = load_config(base)
        dtype = self.settings.resolve_dtype(self.settings.resolve_device(), checkpoint_dtype(config))
        return sum(parameter.numel() for parameter in {*empty_model(base, config).parameters()}) * dtype_bytes(dtype)


def shutting_down() -> EngineError:
    return EngineError("The engine is shutting down. Try again in a moment.", code="engine_closed")


def base_key(base: BaseFiles) -> BaseKey:
    """Two names of one checkpoint are one base, and so are two spellings of one directory."""
    return base_source(base.source), base.revision


def dtype_bytes(dtype: torch.dtype) -> int:
    return torch.empty((), dtype=dtype).element_size()
