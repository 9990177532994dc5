"""Plans and results are kept for some days after a job's end, for those who look into a fault; then they go."""

from __future__ import annotations

import time
import uuid
from datetime import timedelta

import structlog
from django.conf import settings
from django.utils import timezone

from marketplace.core.store import blob_store
from marketplace.jobs.models import Job

log = structlog.get_logger(__name__)

#: Writes under way never take a day.
SCRATCH_SECONDS = 24 * 3600


def collect_documents() -> int:
    """Delete the documents of jobs that ended long ago or are gone, and abandoned temporary files; how many jobs."""
    store = blob_store()
    ids = {uuid.UUID(name): name for name in store.jobs_with_documents()}
    horizon = timezone.now() - timedelta(days=settings.JOB_DOCUMENTS_DAYS)
    known = Job.objects.filter(pk__in=ids)
    kept = set(known.exclude(finished_at__lt=horizon, state__in=Job.ENDED).values_list("pk", flat=True))
    dropped = [name for number, name in ids.items() if number not in kept]
    for name in dropped:
        store.delete_documents(name)
    swept = store.sweep_scratch(time.time() - SCRATCH_SECONDS)
    if dropped or swept:
        log.info("job_documents_collected", jobs=len(dropped), scratch=swept)
    return len(dropped)
