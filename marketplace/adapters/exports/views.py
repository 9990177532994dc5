"""Pages of exports."""

from __future__ import annotations

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from marketplace.accounts.throttling import ExportThrottle, spend
from marketplace.adapters import selectors as adapters
from marketplace.adapters.exports import downloads, selectors, services
from marketplace.core.errors import AppError, Forbidden, NotFound
from marketplace.core.pagination import keyset_page
from marketplace.jobs.models import Job


@login_required
@require_POST
def start(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    """Start an export and follow its job; what speaks against it is said on the adapter's page."""
    adapter = adapters.get_adapter(user=request.user, owner=owner, name=name)
    try:
        spend(request, ExportThrottle)
        job = services.create_export(
            user=request.user,
            adapter=adapter,
            format=request.POST.get("format", "")[:20],
            dtype=request.POST.get("dtype", "same")[:20],
        )
    except (Forbidden, NotFound):
        raise
    except AppError as error:
        messages.error(request, error.message)
        return redirect(adapter.get_absolute_url())
    return redirect("job", job_id=job.pk)


@login_required
@require_safe
def exports_page(request: HttpRequest) -> HttpResponse:
    page = keyset_page(
        selectors.exports_of(request.user), order=("-created_at", "-id"), cursor=request.GET.get("cursor") or None
    )
    rows = [
        {
            "job": job,
            "result": selectors.result_of(job) if job.state == Job.State.SUCCEEDED else None,
            "until": selectors.kept_until(job),
        }
        for job in selectors.with_names_of_today(request.user, page.items)
    ]
    context = {
        "rows": rows,
        "next_cursor": page.next_cursor,
        "used": selectors.used_bytes(request.user),
        "limit": settings.EXPORT_MAX_BYTES,
    }
    return render(request, "adapters/exports.html", context)


@login_required
@require_POST
def discard(request: HttpRequest, export_id: str) -> HttpResponse:
    job = selectors.get_export(user=request.user, export_id=export_id)
    try:
        services.discard_export(user=request.user, job=job)
        messages.success(request, "The export is deleted.")
    except AppError as error:
        messages.error(request, error.message)
    return redirect("exports")


@login_required
@require_safe
def archive(request: HttpRequest, export_id: str) -> HttpResponseBase:
    return downloads.export_archive(request, request.user, export_id)


@login_required
@require_safe
def file(request: HttpRequest, export_id: str, path: str) -> HttpResponseBase:
    return downloads.export_file(request, request.user, export_id, path)
