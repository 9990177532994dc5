"""What Prometheus reads: requests counted in every web process, and the state of jobs, queues and workers.

Requests are counted in memory; with several web processes ``PROMETHEUS_MULTIPROC_DIR`` names a folder that they share,
and each of them answers for all. The rest is asked of Postgres and Redis when it is read, so it is the same everywhere.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

import redis
import structlog
from django.db import DatabaseError
from django.db.models import Count
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import REGISTRY, Collector

from inference_worker.contracts import keys
from inference_worker.roles import ROLES
from marketplace.adapters.models import Adapter
from marketplace.core.health.parts import WORKERS, live_roles
from marketplace.core.redis import lists_of_queue, redis_client
from marketplace.jobs.models import Job

log = structlog.get_logger(__name__)

QUEUES = tuple(queue for role in ROLES.values() for queue in role.queues)
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

REQUESTS = Counter("brickyard_http_requests", "Requests answered.", ["method", "route", "status"])
LATENCY = Histogram(
    "brickyard_http_request_seconds", "Seconds until an answer began.", ["method", "route"], buckets=_BUCKETS
)


def exposition() -> tuple[bytes, str]:
    """The text and its content type."""
    registry = REGISTRY
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        registry = CollectorRegistry()
        MultiProcessCollector(registry)
    state = CollectorRegistry()
    state.register(_State())
    return generate_latest(registry) + generate_latest(state), CONTENT_TYPE_LATEST


class _State(Collector):
    """Gauges read from Postgres and Redis. A server that is away leaves its gauges out, so that absence alerts."""

    def describe(self) -> Iterable[GaugeMetricFamily]:
        return []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        try:
            yield from _of_database()
        except DatabaseError as error:
            log.warning("metrics_without_database", fault=repr(error))
        try:
            yield from _of_redis()
        except redis.RedisError as error:
            log.warning("metrics_without_redis", fault=repr(error))


def _of_database() -> Iterator[GaugeMetricFamily]:
    jobs = GaugeMetricFamily("brickyard_jobs", "Jobs by state and kind.", labels=["state", "kind"])
    counted = Job.objects.values_list("state", "kind").annotate(count=Count("pk")).order_by("state", "kind")
    for state, kind, count in counted:
        jobs.add_metric([state, kind], count)
    adapters = GaugeMetricFamily("brickyard_adapters", "Adapters by visibility.", labels=["visibility"])
    by_visibility = Adapter.objects.values_list("visibility").annotate(count=Count("pk")).order_by("visibility")
    for visibility, count in by_visibility:
        adapters.add_metric([visibility], count)
    yield jobs
    yield adapters


def _of_redis() -> Iterator[GaugeMetricFamily]:
    client = redis_client()
    lengths = GaugeMetricFamily("brickyard_queue_length", "Messages that wait in a queue.", labels=["queue"])
    for queue in QUEUES:
        lengths.add_metric([queue], sum(int(client.llen(key)) for key in lists_of_queue(queue)))
    live = GaugeMetricFamily("brickyard_live_workers", "Live workers that advertise themselves.")
    live.add_metric([], int(client.zcard(keys.LIVE_WORKERS)))
    present = live_roles()
    workers = GaugeMetricFamily("brickyard_worker_present", "1 when a worker of the role answers.", labels=["role"])
    for role in WORKERS:
        workers.add_metric([role], float(role in present))
    yield lengths
    yield live
    yield workers
