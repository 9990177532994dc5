"""Pages of jobs."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from marketplace.adapters import tombstones
from marketplace.adapters.exports import selectors as exports
from marketplace.adapters.models import Adapter, Upload
from marketplace.adapters.selectors import visible_adapters
from marketplace.core.errors import AppError
from marketplace.core.pagination import keyset_page
from marketplace.jobs import selectors, services
from marketplace.jobs.models import Job

PAGE = 30
#: Columns of the playground besides the base.
MAX_COLUMNS = 3
KINDS = {
    "inspect": "Check",
    "compose_check": "Comparison",
    "merge": "Merge",
    "merge_preview": "Preview of a merge",
    "merge_sweep": "Sweep of merges",
    "embed": "Embedding",
    "base_shapes": "Base",
    "fetch": "Import",
    "export": "Export",
    "evaluate": "Evaluation",
}
#: Kinds that have a page of their own → its name.
TRIALS = {"merge_preview": "merge-preview", "merge_sweep": "merge-sweep"}


@login_required
@require_safe
def job_list(request: HttpRequest) -> HttpResponse:
    page = keyset_page(
        selectors.jobs_of(request.user),
        order=("-created_at", "-id"),
        cursor=request.GET.get("cursor") or None,
        limit=PAGE,
    )
    exports.with_names_of_today(request.user, page.items)
    places = selectors.places_of(page.items)
    rows = [
        {
            "job": job,
            "kind": KINDS.get(job.kind, job.kind),
            "live": live,
            "took": _took(job),
            "before": places.get(job.pk, 0),
        }
        for job, live in zip(page.items, selectors.live_states(page.items), strict=True)
    ]
    context = {
        "rows": rows,
        "next_cursor": page.next_cursor,
        "running": any(not job.has_ended for job in page.items),
    }
    return render(request, "jobs/jobs.html", context)


@login_required
@require_safe
def job_page(request: HttpRequest, job_id: str) -> HttpResponse:
    [job] = exports.with_names_of_today(request.user, [selectors.get_job(user=request.user, job_id=job_id)])
    outcome = outcome_of(job)
    context = {
        "job": job,
        "kind": KINDS.get(job.kind, job.kind),
        "state": selectors.full_state(job),
        "outcome": outcome,
        "compare": _comparison(job, outcome.get("adapter")),
        "took": _took(job),
    }
    return render(request, "jobs/job.html", context)


def outcome_of(job: Job) -> dict[str, Any]:
    """Where a finished job leads: ``adapter`` for a merge, ``upload`` or ``adapter`` for a check and an import, the
    kept files for an export, ``page`` for what has a page of its own."""
    if job.kind == "export":
        return _export_of(job)
    if job.kind == "fetch":
        return _import_of(job)
    if job.kind in TRIALS:
        return {"page": reverse(TRIALS[job.kind], args=[job.pk])}
    if job.kind == "evaluate":
        return _evaluation_of(job)
    if job.kind == "merge" and job.result:
        owner, _, name = str(job.result.get("adapter", "")).partition("/")
        # It may have been renamed since.
        at = tombstones.named(owner, name) | tombstones.formerly_named(owner, name)
        return {"adapter": visible_adapters(job.owner).filter(at).first(), "replay": job.result.get("replay")}
    artifact = job.subject.get("artifact")
    if artifact is None:
        return {}
    made = visible_adapters(job.owner).filter(owner=job.owner, current__artifact_id=artifact)
    upload = Upload.objects.filter(owner=job.owner, artifact_id=artifact, state=Upload.State.READY)
    return {"adapter": made.first(), "upload": upload.first()}


def _evaluation_of(job: Job) -> dict[str, Any]:
    """The page of everything that was measured of the adapter; none for a mix."""
    adapter = visible_adapters(job.owner).filter(pk=job.subject.get("adapter") or 0).first()
    return {"page": reverse("adapter-evaluations", args=[adapter.owner.username, adapter.name]) if adapter else ""}


def _import_of(job: Job) -> dict[str, Any]:
    """The upload that an import became, and the adapter once it is published."""
    found = Upload.objects.filter(owner=job.owner, pk=(job.result or {}).get("upload")).select_related("adapter")
    upload = found.first()
    if upload is None or upload.state != Upload.State.PUBLISHED or upload.adapter is None:
        return {"upload": upload}
    return {"adapter": visible_adapters(job.owner).filter(pk=upload.adapter.pk).first()}


def _export_of(job: Job) -> dict[str, Any]:
    kept = job.state == Job.State.SUCCEEDED and exports.live_exports().filter(pk=job.pk).exists()
    return {"export": {"result": exports.result_of(job), "until": exports.kept_until(job)} if kept else None}


def _took(job: Job) -> float | None:
    """Seconds from start to end, when it has both."""
    return (job.finished_at - job.started_at).total_seconds() if job.started_at and job.finished_at else None


def _comparison(job: Job, adapter: Adapter | None) -> str:
    """The playground with a merge beside its sources, as many as there are columns for."""
    if adapter is None:
        return ""
    sources = [str(member.get("label", "")) for member in job.request.get("adapters", [])]
    names = [adapter.full_name, *sources][:MAX_COLUMNS]
    return f"{reverse('playground')}?{urlencode([('with', name) for name in names if name])}"


@login_required
@require_POST
def cancel(request: HttpRequest, job_id: str) -> HttpResponse:
    return _act(request, job_id, services.cancel_job)


@login_required
@require_POST
def retry(request: HttpRequest, job_id: str) -> HttpResponse:
    return _act(request, job_id, services.retry_job)


def _act(request: HttpRequest, job_id: str, service: Any) -> HttpResponse:
    """Ask the service; when the job has moved on meanwhile, the page says so and shows where it is now."""
    job = selectors.get_job(user=request.user, job_id=job_id)
    try:
        service(user=request.user, job=job)
    except AppError as error:
        messages.error(request, error.message)
    return redirect(reverse("job", args=[job.pk]))
