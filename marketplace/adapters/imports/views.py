"""The page of imports."""

from __future__ import annotations

from django import forms
from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from marketplace.accounts.throttling import ImportThrottle, spend
from marketplace.adapters.imports.services import KIND, start_import
from marketplace.adapters.imports.sources import MAX_SOURCE
from marketplace.core.errors import AppError
from marketplace.core.forms import PlainForm, show_fault
from marketplace.jobs import selectors as jobs


class ImportForm(PlainForm):
    source = forms.CharField(
        label="Id or address",
        max_length=MAX_SOURCE,
        widget=forms.TextInput(
            attrs={"placeholder": "owner/name", "autocapitalize": "off", "spellcheck": "false", "autofocus": True}
        ),
    )


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def import_page(request: HttpRequest) -> HttpResponse:
    """The form; then the job's page, which leads on to what was read."""
    form = ImportForm(request.POST or None, initial={"source": request.GET.get("source", "")})
    status = 200
    if request.method == "POST":
        status = 400
        if form.is_valid():
            try:
                spend(request, ImportThrottle)
                job = start_import(user=request.user, source=form.cleaned_data["source"])
            except AppError as error:
                show_fault(form, error)
                status = error.status
            else:
                return redirect("job", job_id=job.pk)
    context = {
        "form": form,
        "hub": settings.IMPORT_HUB_URL.partition("://")[2],
        "limit": settings.UPLOAD_MAX_BYTES,
        "recent": list(jobs.jobs_of(request.user, kind=KIND)[:5]),
    }
    return render(request, "adapters/import.html", context, status=status)
