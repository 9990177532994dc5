"""Clients of Redis: one per process for threads, one per event loop for asynchronous views."""

from __future__ import annotations

import asyncio
from functools import cache
from weakref import WeakKeyDictionary

import redis
import redis.asyncio
from django.conf import settings
from kombu.transport.redis import Channel

_CONNECT_TIMEOUT = 2.0
#: Commands that block wait shorter than this.
_ANSWER_TIMEOUT = 10.0

_of_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, redis.asyncio.Redis] = WeakKeyDictionary()


@cache
def redis_client() -> redis.Redis:
    """The process's client (strings, not bytes); safe to share between threads, and it reconnects by itself."""
    return redis.Redis.from_url(
        settings.REDIS_URL,
        decode_responses=True,
        socket_connect_timeout=_CONNECT_TIMEOUT,
        socket_timeout=_ANSWER_TIMEOUT,
    )


def async_redis_client() -> redis.asyncio.Redis:
    """The running loop's client (strings, not bytes). Connections belong to a loop, so each loop has its own."""
    loop = asyncio.get_running_loop()
    client = _of_loop.get(loop)
    if client is None:
        client = redis.asyncio.Redis.from_url(
            settings.REDIS_URL,
            decode_responses=True,
            socket_connect_timeout=_CONNECT_TIMEOUT,
            socket_timeout=_ANSWER_TIMEOUT,
        )
        _of_loop[loop] = client
    return client


def lists_of_queue(queue: str) -> list[str]:
    """The broker's lists of one queue, one for each step of priority."""
    return [f"{queue}{Channel.sep}{step}" if step else queue for step in Channel.priority_steps]
