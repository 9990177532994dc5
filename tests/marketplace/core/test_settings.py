"""What the settings work out from the environment."""

import pytest
from django.conf import settings
from django.core.cache import cache

from marketplace.core.redis import redis_client
from marketplace.settings.base import next_redis_database


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://localhost:6379/0", "redis://localhost:6379/1"),
        ("redis://:secret@redis:6379", "redis://:secret@redis:6379/1"),
        ("rediss://redis:6380/4?ssl_cert_reqs=none", "rediss://redis:6380/5?ssl_cert_reqs=none"),
        ("unix:///run/redis.sock?db=0", "unix:///run/redis.sock?db=1"),
        ("unix:///run/redis.sock", "unix:///run/redis.sock?db=1"),
    ],
)
def test_cache_lies_in_the_next_database(url: str, expected: str) -> None:
    assert next_redis_database(url) == expected


def test_clearing_the_cache_leaves_the_queues() -> None:
    redis_client().set("a-queue", "hint")
    cache.set("seen", 1)
    cache.clear()
    assert cache.get("seen") is None
    assert redis_client().get("a-queue") == "hint"
    assert settings.CACHE_URL != settings.REDIS_URL
