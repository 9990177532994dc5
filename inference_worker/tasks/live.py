"""The live worker's tasks: ``inference_worker.embed_query`` and ``inference_worker.generate``.

A generation's task only hands the request to the engine and returns, so however many streams run, the threads of the
pool stay free for queries.
"""

from __future__ import annotations

import json
import time
from typing import Any

import redis
import structlog
from celery.signals import celeryd_after_setup, worker_shutdown

from inference_worker.celery_app import app, config
from inference_worker.contracts import keys
from inference_worker.contracts.generate import EmbedQuery, GenerateRequest
from inference_worker.errors import EngineError
from inference_worker.tasks.live_service import LiveService

log = structlog.get_logger(__name__)

#: Seconds that an answer waits for its reader.
REPLY_LIFETIME = 10

_running: dict[str, LiveService] = {}


def service() -> LiveService:
    """The process's engine and encoder; they are loaded before the worker takes its first message."""
    return _running["service"]


@celeryd_after_setup.connect
def _start(instance: Any, **_: Any) -> None:
    live = LiveService(config)
    live.start()
    _running["service"] = live
    instance.app.amqp.queues.select_add(live.queue)


@worker_shutdown.connect
def _stop(**_: Any) -> None:
    if live := _running.pop("service", None):
        live.close()


@app.task(name="inference_worker.embed_query")
def embed_query(request: dict[str, Any]) -> None:
    """Answer with the vector on ``reply:{request}``; a query whose asker has gone is dropped."""
    query = EmbedQuery.model_validate(request)
    if time.time() >= query.deadline:
        log.info("query_late", request=query.request)
        return
    try:
        vector, encoder = service().embed(query.text)
        answer = {"vector": vector, "encoder": encoder}
    except EngineError as error:
        answer = {"error": error.message, "code": error.code}
    with service().redis.pipeline(transaction=False) as pipe:
        pipe.rpush(keys.reply(query.request), json.dumps(answer))
        pipe.expire(keys.reply(query.request), REPLY_LIFETIME)
        pipe.execute()


@app.task(name="inference_worker.generate")
def generate(request: dict[str, Any]) -> None:
    """Start a generation; events follow on the stream ``gen:{request}``."""
    wanted = GenerateRequest.model_validate(request)
    live = service()
    if time.time() >= wanted.deadline:
        log.info("generation_late", request=wanted.request)
        return
    try:
        if live.redis.exists(keys.generation_cancel(wanted.request)):
            log.info("generation_withdrawn", request=wanted.request)
            return
    except redis.RedisError as error:
        log.warning("redis_away", fault=repr(error))
    live.generate(wanted)
