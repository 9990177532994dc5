"""The settings of a preview or a sweep, for the combine page to go on with.

An address names the job that holds them: with weights by layer the settings alone may be longer than servers take.
"""

from __future__ import annotations

from urllib.parse import urlencode

from django.http import QueryDict
from django.urls import reverse

from inference_worker.contracts.merge import MergeRequest
from marketplace import policy
from marketplace.adapters.models import Version
from marketplace.adapters.selectors import visible_adapters
from marketplace.compositions.forms import parameters_of
from marketplace.compositions.lab.previews import PREVIEW, SWEEP
from marketplace.compositions.members import Choice
from marketplace.core.errors import NotFound
from marketplace.jobs import selectors as jobs
from marketplace.jobs.models import Job


def address_of(job: Job, point: int | None = None) -> str:
    """The combine page with the settings of a preview, or of one point of a sweep."""
    named = {"trial": str(job.pk)} | ({} if point is None else {"point": str(point)})
    return f"{reverse('combine')}?{urlencode(named)}"


def members_of(user: policy.Person, job: Job, merge: MergeRequest) -> list[Choice]:
    """The planned versions with a merge's weights, in its order; none where one of them is out of sight."""
    wanted = [member["version"] for member in job.subject["members"]]
    found = Version.objects.select_related("adapter__owner", "adapter__base", "adapter__current__artifact").filter(
        pk__in=wanted, adapter__in=visible_adapters(user).values("pk")
    )
    versions = {version.pk: version for version in found}
    if not all(pk in versions for pk in wanted):
        return []
    pairs = zip(wanted, merge.weights, strict=True)
    return [Choice(versions[pk].adapter, weight, versions[pk]) for pk, weight in pairs]


def fields_of(*, user: policy.Person, trial: str, point: str = "") -> QueryDict:
    """The combine page's fields for the settings that ``address_of`` named. Raises ``NotFound``."""
    job = jobs.get_job(user=user, job_id=trial)
    merges = [job.request["merge"]] if job.kind == PREVIEW else []
    merges = [row["merge"] for row in job.request["points"]] if job.kind == SWEEP else merges
    place = int(point) if point.isascii() and point.isdigit() and len(point) < 4 else 0
    if place >= len(merges):
        raise NotFound("There are no such settings.")
    merge = MergeRequest.model_validate(merges[place])
    fields = QueryDict(mutable=True)
    prompts = [("prompt", prompt) for prompt in job.request.get("prompts", []) if prompt]
    for name, value in [*parameters_of(merge, members_of(user, job, merge)), *prompts]:
        fields.appendlist(name, value)
    return fields
