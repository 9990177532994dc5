"""Reading exports: jobs of their kind whose files are still there."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Q, QuerySet
from django.utils import timezone

from inference_worker.contracts.export import ExportResult
from marketplace.accounts.models import User
from marketplace.adapters.models import Version
from marketplace.adapters.selectors import visible_adapters
from marketplace.core.errors import NotFound
from marketplace.jobs.models import Job
from marketplace.policy import Person

KIND = "export"


def live_exports() -> QuerySet[Job]:
    """Exports under way and those whose files are kept."""
    horizon = timezone.now() - timedelta(days=settings.EXPORT_KEEP_DAYS)
    kept = Q(state=Job.State.SUCCEEDED, finished_at__gt=horizon, result__files__isnull=False)
    return Job.objects.filter(kind=KIND).filter(kept | ~Q(state__in=Job.ENDED))


def exports_of(user: Person) -> QuerySet[Job]:
    """The user's live exports, newest first."""
    return live_exports().filter(owner_id=user.pk) if user.is_authenticated else Job.objects.none()


def get_export(*, user: Person, export_id: str | uuid.UUID) -> Job:
    """A live export of the user's own. Raises ``NotFound``, also for one whose files have gone."""
    try:
        number = uuid.UUID(str(export_id))
    except ValueError as error:
        raise NotFound("There is no such export.") from error
    job = exports_of(user).filter(pk=number).first()
    if job is None:
        raise NotFound("There is no such export, it is not yours, or its files are no longer kept.")
    return job


def result_of(job: Job) -> ExportResult:
    """What a succeeded export made."""
    return ExportResult.model_validate(job.result)


def version_of(job: Job) -> Version:
    """The version that was exported. Raises ``NotFound`` when it is gone."""
    version = (
        Version.objects.select_related("adapter__owner", "adapter__current__artifact", "artifact__base")
        .filter(pk=job.subject.get("version", 0))
        .first()
    )
    if version is None:
        raise NotFound("The adapter of this export is gone.")
    return version


def kept_until(job: Job) -> datetime | None:
    return None if job.finished_at is None else job.finished_at + timedelta(days=settings.EXPORT_KEEP_DAYS)


def adapter_name(job: Job) -> str:
    """What the adapter of an export is called."""
    return str(job.request["adapter"]["label"])


def with_names_of_today(user: Person, jobs: Iterable[Job]) -> list[Job]:
    """The jobs, changed in memory alone: an export's title and plan tell the name that its adapter has by now, where
    ``user`` sees it."""
    rows = list(jobs)
    exported = [job for job in rows if job.kind == KIND]
    seen = visible_adapters(user).filter(pk__in={job.subject["adapter"] for job in exported}) if exported else ()
    names = {adapter.pk: adapter.full_name for adapter in seen}
    for job in exported:
        before = adapter_name(job)
        now = names.get(job.subject["adapter"], before)
        job.title = job.title.replace(before, now)
        job.request = {**job.request, "adapter": {**job.request["adapter"], "label": now}}
    return rows


def used_bytes(user: User) -> int:
    """Bytes of the user's live exports, estimated for those under way."""
    rows = live_exports().filter(owner=user).values_list("result__size", "subject__estimate")
    return sum(int(size if size is not None else estimate or 0) for size, estimate in rows)


def kept_digests() -> Iterable[str]:
    """Digests that the collection of garbage spares."""
    for result in live_exports().filter(state=Job.State.SUCCEEDED).values_list("result", flat=True):
        yield from (file["sha256"] for file in (result or {}).get("files", ()))
