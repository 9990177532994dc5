"""The inference workers' Celery app. What a process serves is decided by its role, see ``inference_worker.roles``."""

from __future__ import annotations

from typing import Any

from celery import Celery
from celery.signals import setup_logging

from inference_worker import logging as worker_logging
from inference_worker.config import WorkerConfig

config = WorkerConfig.from_environment()

# Without fixups: a DJANGO_SETTINGS_MODULE in the environment must not pull Django into a worker.
app = Celery("inference_worker", broker=config.broker_url, fixups=[])
app.conf.update(
    accept_content=["json"],
    task_serializer="json",
    task_ignore_result=True,
    # A message is a hint: it is acknowledged before the work begins, and never retried.
    task_acks_late=False,
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    broker_transport_options={"socket_connect_timeout": 2, "max_retries": 1, "interval_start": 0},
    task_publish_retry_policy={"max_retries": 3, "interval_start": 0.1, "interval_step": 0.2, "interval_max": 0.5},
    worker_send_task_events=False,
    enable_utc=True,
    timezone="UTC",
)


@setup_logging.connect
def _configure_logging(**_: Any) -> None:
    worker_logging.configure()
