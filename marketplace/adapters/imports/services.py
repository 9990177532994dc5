"""Imports from a hub or an address: a job fetches the files, and they become an upload like any other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet

from inference_worker.contracts.fetch import FetchRequest, FetchResult
from inference_worker.contracts.jobs import Limits
from marketplace.accounts.models import User
from marketplace.adapters import services as adapters
from marketplace.adapters.imports.sources import parse_source, shown
from marketplace.adapters.imports.stored import stored_file
from marketplace.adapters.models import Adapter, Upload
from marketplace.adapters.uploads.quota import quota_of, reserved_bytes, stored_bytes
from marketplace.core.errors import Invalid, NotAuthenticated, QuotaExceeded, TooManyRequests
from marketplace.jobs import services as jobs
from marketplace.jobs.models import Job
from marketplace.moderation import audit

KIND = "fetch"
#: Imports of one person that may wait or run at the same time; a command's may be many.
MAX_OPEN = 10
STORING_SECONDS = 600


@dataclass(frozen=True)
class Publication:
    """How an import is published once it is here, without anybody looking at it: for commands.

    ``fields`` are those of ``adapters.services.publish_upload``.
    """

    name: str
    fields: Mapping[str, Any]


def start_import(
    *, user: User, source: str, publication: Publication | None = None, idempotency_key: str | None = None
) -> Job:
    """Queue the fetch of ``source``: ``owner/name[@revision]`` of the hub, a page of it, or an https address.

    The job's result names the upload. Raises ``Invalid`` (field ``source``), ``QuotaExceeded`` when there is no room
    left, ``TooManyRequests`` when too many imports are under way.
    """
    if not user.is_authenticated:
        raise NotAuthenticated("Sign in to import adapters.")
    if known := jobs.known_job(user, KIND, idempotency_key):
        return known
    parsed = parse_source(source)
    with transaction.atomic():
        owner = User.objects.select_for_update(no_key=True).get(pk=user.pk)
        if publication is None:
            _check_open(owner)
        job = jobs.create_job(
            owner=owner,
            kind=KIND,
            request=FetchRequest(
                source=parsed,
                max_bytes=_room_of(owner, beside_imports=publication is None),
                max_seconds=settings.IMPORT_SECONDS,
            ),
            subject={"source": shown(parsed), **(_dumped(publication) if publication else {})},
            title=f"Import of {shown(parsed)}",
            idempotency_key=idempotency_key,
            limits=_limits(),
        )
        audit.record(actor=owner, action="import.start", target=str(job.pk), source=shown(parsed))
    return job


def _limits() -> Limits:
    """The kind's limits, with time to store what came in the last second that an import may take."""
    limits = jobs.limits_of(KIND)
    return limits.model_copy(update={"seconds": max(limits.seconds, settings.IMPORT_SECONDS + STORING_SECONDS)})


def _open_imports(owner: User) -> QuerySet[Job]:
    return Job.objects.filter(owner=owner, kind=KIND).exclude(state__in=Job.ENDED)


def _check_open(owner: User) -> None:
    waiting = _open_imports(owner).count()
    if waiting >= MAX_OPEN:
        raise TooManyRequests(f"{waiting} imports of yours are under way. Wait until one of them has ended.")


def _room_of(owner: User, *, beside_imports: bool) -> int:
    """Bytes that an import may bring: the site's limit, or what is left of the quota beside files that arrive in pieces
    and, with ``beside_imports``, what imports under way may bring. Counted again on arrival."""
    used, quota = stored_bytes(owner) + reserved_bytes(owner), quota_of(owner)
    if used >= quota:
        raise QuotaExceeded(
            f"Your {quota:,} bytes are used up. Delete adapters or uploads that you no longer need.",
            extra={"used": used, "quota": quota},
        )
    if beside_imports:
        used += sum(_open_imports(owner).values_list("request__max_bytes", flat=True))
    if used >= quota:
        raise QuotaExceeded(
            "Imports of yours that are under way may need all that is left of your quota. Wait until one of them has "
            "ended.",
            extra={"used": used, "quota": quota},
        )
    return min(quota - used, settings.UPLOAD_MAX_BYTES)


def renew_room(job: Job) -> None:
    """Give an import that is tried again the room that is left now. Raises ``QuotaExceeded``, ``TooManyRequests``."""
    owner = User.objects.select_for_update(no_key=True).get(pk=job.owner_id)
    by_hand = "publish" not in job.subject
    if by_hand:
        _check_open(owner)
    job.request = {**job.request, "max_bytes": _room_of(owner, beside_imports=by_hand)}


def _dumped(publication: Publication) -> dict[str, Any]:
    return {"publish": {"name": publication.name, "fields": dict(publication.fields)}}


def finish_import(*, job: Job, fetched: FetchResult) -> tuple[Upload, Adapter | None]:
    """The upload of what ``job`` fetched, checked and counted like a browser's; published where the job says so.

    Raises what ``create_upload`` and ``publish_upload`` raise, and ``Invalid`` when it was to be published and is no
    adapter. Call inside the transaction that ends the job.
    """
    upload = adapters.create_upload(user=job.owner, files=[stored_file(file) for file in fetched.files])
    upload.suggested = {
        **upload.suggested,
        "source": fetched.origin,
        **({"source_revision": fetched.revision} if fetched.revision else {}),
    }
    upload.save(update_fields=["suggested"])
    audit.record(
        actor=job.owner,
        action="import.finish",
        target=str(upload.pk),
        source=fetched.origin,
        revision=fetched.revision,
        state=upload.state,
    )
    publish = job.subject.get("publish")
    if publish is None:
        return upload, None
    if upload.state == Upload.State.REFUSED:
        words = " ".join(f"{problem['place']}: {problem['message']}" for problem in upload.problems)
        raise Invalid(f"What was fetched was refused. {words}", extra={"problems": upload.problems})
    return upload, adapters.publish_upload(
        user=job.owner,
        upload=upload,
        name=publish["name"],
        message=f"Imported from {job.subject['source']}"[:300],
        **publish["fields"],
    )
