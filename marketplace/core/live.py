"""Asking live workers: which one to send a generation to, and the vector of a query."""

from __future__ import annotations

import json
import time
import uuid

import redis
import structlog
from django.conf import settings
from kombu.exceptions import OperationalError as BrokerError

from inference_worker.contracts import keys
from inference_worker.contracts.generate import EmbedQuery
from inference_worker.contracts.live import GENERATE_QUEUE, LIFETIME, QUERY_QUEUE, LiveStatus
from marketplace.celery import app
from marketplace.core.redis import redis_client

log = structlog.get_logger(__name__)


def live_workers() -> list[LiveStatus]:
    """Every live worker that has shown itself lately. Raises ``redis.RedisError``."""
    client = redis_client()
    names = client.zrangebyscore(keys.LIVE_WORKERS, time.time() - LIFETIME, "+inf")
    texts = client.mget([keys.live_worker(str(name)) for name in names]) if names else []
    return [LiveStatus.model_validate_json(text) for text in texts if text]


def queue_for(base: str) -> str:
    """The own queue of the least busy worker that holds ``base`` (its name or source), else the queue of all."""
    try:
        workers = live_workers()
    except redis.RedisError as error:
        log.warning("residency_unknown", fault=repr(error))
        return GENERATE_QUEUE
    holding = [worker for worker in workers if any(base in (held.name, held.source) for held in worker.bases)]
    return min(holding, key=lambda worker: worker.load).queue if holding else GENERATE_QUEUE


def embed_query(text: str, timeout: float | None = None) -> list[float] | None:
    """The query's vector in the site's encoder's space, or None when none came within ``timeout`` seconds.

    Without a live worker that can embed it returns at once, so that the caller can fall back to words.
    """
    wait = settings.QUERY_TIMEOUT_SECONDS if timeout is None else timeout
    request = uuid.uuid4().hex
    query = EmbedQuery(request=request, text=text[:4000], deadline=time.time() + wait)
    client = redis_client()
    try:
        if not any(worker.encoder for worker in live_workers()):
            return None
        app.send_task(
            "inference_worker.embed_query", kwargs={"request": query.model_dump()}, queue=QUERY_QUEUE, expires=wait
        )
        answer = client.blpop([keys.reply(request)], timeout=max(wait, 0.01))
    except (redis.RedisError, BrokerError, OSError) as error:
        log.warning("query_not_embedded", fault=repr(error))
        return None
    if answer is None:
        log.info("query_timed_out", seconds=wait)
        return None
    return _vector(json.loads(answer[1]))


def _vector(reply: dict[str, object]) -> list[float] | None:
    if "vector" not in reply:
        log.warning("query_refused", code=reply.get("code"), message=reply.get("error"))
        return None
    if reply["encoder"] != settings.ENCODER:
        log.warning("encoders_differ", worker=reply["encoder"], marketplace=settings.ENCODER)
        return None
    vector = reply["vector"]
    assert isinstance(vector, list)
    return vector
