"""The marketplace's Celery app: records results, reaps lost jobs, sends mail. Queue ``marketplace``."""

import os
from typing import Any

from celery import Celery
from celery.signals import beat_embedded_init

from marketplace.core.lifeline import die_with_parent

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "marketplace.settings")

app = Celery("marketplace")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@beat_embedded_init.connect
def _tie_beat_to_its_worker(**_: Any) -> None:
    """Beat is a process of its own below the worker; a killed worker must not leave it ticking."""
    die_with_parent()
