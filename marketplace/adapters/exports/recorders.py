"""An export is recorded only while whoever asked may still use the adapter; its files are kept for some days."""

from __future__ import annotations

from typing import Any

from inference_worker.contracts.export import ExportResult
from marketplace import policy
from marketplace.adapters.exports.selectors import KIND, kept_digests, version_of
from marketplace.adapters.exports.services import renew_room
from marketplace.adapters.garbage import register_keeper
from marketplace.jobs.models import Job
from marketplace.jobs.recorders import register, register_check, register_retry

register_keeper(kept_digests)
register_retry(KIND)(renew_room)


@register_check(KIND)
def check_export(job: Job) -> None:
    """Raises what the policy raises when the adapter was hidden or taken down meanwhile."""
    version = version_of(job)
    label = job.request["adapter"]["label"]
    policy.require(job.owner, policy.Action.USE, version.adapter, version=version, label=label)


@register(KIND)
def record_export(job: Job, result: dict[str, Any]) -> None:
    """The result is what the worker says, once it is what an export's result must be."""
    job.result = ExportResult.model_validate(result).model_dump(mode="json")
