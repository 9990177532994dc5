"""A finished fetch becomes an upload."""

from __future__ import annotations

from typing import Any

from inference_worker.contracts.fetch import FetchResult
from marketplace import policy
from marketplace.adapters.imports.services import KIND, finish_import, renew_room
from marketplace.core.errors import Forbidden
from marketplace.jobs.models import Job
from marketplace.jobs.recorders import register, register_check, register_retry

register_retry(KIND)(renew_room)


@register_check(KIND)
def check_import(job: Job) -> None:
    """Whoever asked for it must still be somebody here."""
    if not policy.is_known(job.owner):
        raise Forbidden("This account is closed, so nothing is imported for it.")


@register(KIND)
def record_import(job: Job, result: dict[str, Any]) -> None:
    """The job's result learns the upload's id, and the adapter's name where it was published at once."""
    upload, adapter = finish_import(job=job, fetched=FetchResult.model_validate(result))
    job.result = {**result, "upload": str(upload.pk), "state": upload.state}
    if adapter is not None:
        job.result["adapter"] = adapter.full_name
