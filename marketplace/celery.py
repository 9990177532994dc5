"""The marketplace's Celery app: records results, reaps lost jobs, sends mail. Queue ``marketplace``."""

import os

from celery import Celery
from django.conf import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "marketplace.settings")

app = Celery("marketplace")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.beat_schedule = {
    # A tick that comes late is dropped: the next one does its work.
    "reap-jobs": {
        "task": "marketplace.reap_jobs",
        "schedule": settings.JOB_REAPER_SECONDS,
        "options": {"expires": max(settings.JOB_REAPER_SECONDS, 1.0)},
    },
    "collect-job-documents": {"task": "marketplace.collect_job_documents", "schedule": 3600.0},
}
app.autodiscover_tasks()
