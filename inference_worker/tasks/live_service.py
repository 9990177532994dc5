"""One engine pool and one encoder per live worker, warmed before the first request and shown in Redis."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any, cast

import redis
import structlog

from inference_worker.blobs import BlobStore
from inference_worker.config import WorkerConfig
from inference_worker.contracts import keys
from inference_worker.contracts.bases import base_files
from inference_worker.contracts.common import AdapterFiles, BaseFiles
from inference_worker.contracts.generate import GenerateRequest
from inference_worker.contracts.live import GENERATE_QUEUE, INTERVAL, LIFETIME, LiveBase, LiveStatus
from inference_worker.errors import EngineError
from inference_worker.retrieval.encoder import Encoder, load_encoder
from inference_worker.serving.pool import EnginePool
from inference_worker.serving.settings import EngineSettings
from inference_worker.tasks.streams import StreamWriter

log = structlog.get_logger(__name__)


def default_base(setting: str) -> BaseFiles | None:
    """The base to load at the start, named as the marketplace names it; None for an empty setting."""
    return base_files(setting, os.environ.get("DEFAULT_BASE_REVISION", "")) if setting else None


class LiveService:
    """Thread-safe. Start it once per process, after the fork."""

    def __init__(self, config: WorkerConfig) -> None:
        self.config = config
        self.queue = f"{GENERATE_QUEUE}.{config.name}"
        self.redis = redis.Redis.from_url(
            config.redis_url, decode_responses=True, socket_connect_timeout=2, socket_timeout=5
        )
        self.blobs = BlobStore(config.blob_store_url, config.blob_cache)
        self.pool = EnginePool(EngineSettings.from_environment(os.environ))
        self.streams = StreamWriter(self.redis)
        self.encoder: Encoder | None = None
        self._closing = threading.Event()
        self._advertiser = threading.Thread(target=self._advertise, name="residency", daemon=True)

    def start(self) -> None:
        """Load the encoder and the default base; what cannot be loaded is logged and stays away."""
        try:
            self.encoder = load_encoder(self.config.encoder)
            self.encoder.encode(["warm"])
        except EngineError as error:
            log.error("encoder_unavailable", code=error.code, message=error.message)
        base = default_base(self.config.default_base)
        if base is not None:
            try:
                self.pool.preload(base, pinned=True)
            except EngineError as error:
                log.error("default_base_unavailable", base=base.name, code=error.code, message=error.message)
        self._advertiser.start()
        log.info("live_worker_ready", worker=self.config.name, base=base.name if base else "")

    def close(self) -> None:
        """End every generation and sign off."""
        self._closing.set()
        self.pool.close()
        self.streams.close()
        try:
            self.redis.zrem(keys.LIVE_WORKERS, self.config.name)
            self.redis.delete(keys.live_worker(self.config.name))
        except redis.RedisError as error:
            log.warning("redis_away", fault=repr(error))

    def generate(self, request: GenerateRequest) -> None:
        """Hand a request to its engine; its events are written to Redis by ``streams``."""
        self.streams.follow(self.pool.submit(request, self._resolve))

    def embed(self, text: str) -> tuple[list[float], str]:
        """A query's vector and the name of its space. Raises ``EngineError`` without an encoder."""
        if self.encoder is None:
            raise EngineError("This worker has no encoder.", code="encoder_unavailable")
        return self.encoder.encode([text])[0].tolist(), self.encoder.name

    def _resolve(self, files: AdapterFiles) -> tuple[Path, Path]:
        return self.blobs.path(files.config), self.blobs.path(files.weights)

    def status(self) -> LiveStatus:
        """What this worker holds at the moment."""
        entries = cast(list[dict[str, Any]], self.pool.residency()["bases"])
        return LiveStatus(
            worker=self.config.name,
            queue=self.queue,
            encoder=self.encoder.name if self.encoder else "",
            bases=tuple(_live_base(entry) for entry in entries),
            load=self.streams.load,
            at=time.time(),
        )

    def _advertise(self) -> None:
        while not self._closing.is_set():
            status = self.status()
            try:
                with self.redis.pipeline(transaction=False) as pipe:
                    pipe.zadd(keys.LIVE_WORKERS, {status.worker: status.at})
                    pipe.zremrangebyscore(keys.LIVE_WORKERS, "-inf", status.at - LIFETIME)
                    pipe.set(keys.live_worker(status.worker), status.model_dump_json(), ex=int(LIFETIME))
                    pipe.execute()
            except redis.RedisError as error:
                log.warning("redis_away", fault=repr(error))
            self._closing.wait(INTERVAL)


def _live_base(entry: dict[str, Any]) -> LiveBase:
    return LiveBase(
        name=entry["name"],
        source=entry["source"],
        running=entry["running"],
        waiting=entry["waiting"],
        adapters=tuple(adapter["label"] for adapter in entry["adapters"]),
        device=entry["device"],
        dtype=entry["dtype"],
    )
