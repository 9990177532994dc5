"""Upload: files, what was read from them, publishing."""

from __future__ import annotations

import re
import uuid
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from marketplace import policy
from marketplace.adapters import selectors, services
from marketplace.adapters.forms import PublishForm
from marketplace.adapters.models import Adapter, Artifact, Upload
from marketplace.adapters.services import artifacts
from marketplace.adapters.services import partial_uploads as partials
from marketplace.adapters.uploads.handler import received_files, receiving
from marketplace.bases.answers import question_of
from marketplace.core.errors import AppError, Invalid
from marketplace.core.forms import show_fault
from marketplace.jobs import selectors as jobs

_ENDED = (Artifact.State.VALID, Artifact.State.INVALID)


@csrf_exempt
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def upload(request: HttpRequest) -> HttpResponse:
    """The files. Exempt on the outside alone: the bytes go to the store before the form's token is read."""
    if request.method != "POST":
        return _upload_page(request)
    with receiving(request):
        return _receive(request)


@csrf_protect
def _receive(request: HttpRequest) -> HttpResponse:
    try:
        received = services.create_upload(user=request.user, files=received_files(request))
    except AppError as error:
        return _upload_page(request, error)
    return redirect(_address(received, request.POST.get("adapter", "")))


def _address(upload: Upload, adapter: str) -> str:
    address = reverse("upload-read", args=[upload.pk])
    return f"{address}?adapter={adapter}" if adapter else address


def _upload_page(request: HttpRequest, error: AppError | None = None) -> HttpResponse:
    name = request.GET.get("adapter", "")
    context = {
        "error": error,
        "limit": settings.UPLOAD_MAX_BYTES,
        "adapter": _target(request, name) if name else None,
        "unfinished": _unfinished(request),
        "recent": list(Upload.objects.filter(owner=request.user, state=Upload.State.READY)[:5]),
    }
    return render(request, "adapters/upload.html", context, status=error.status if error else 200)


def _unfinished(request: HttpRequest) -> list[dict[str, Any]]:
    """Files that arrived in part, by the upload that they belong to, newest first."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in partials.open_partial_uploads(user=request.user):
        arrived = partials.arrived(row)
        part = {"row": row, "arrived": arrived, "complete": arrived == row.length}
        part["percent"] = arrived * 100 // row.length if row.length else 100
        groups.setdefault(row.group or str(row.pk), []).append(part)
    return [
        {
            "group": group,
            "parts": parts,
            "complete": all(part["complete"] for part in parts),
            "missing": sum(not part["complete"] for part in parts),
            "expires_at": min(part["row"].expires_at for part in parts),
        }
        for group, parts in reversed(groups.items())
    ]


@login_required
@require_POST
def discard_parts(request: HttpRequest) -> HttpResponse:
    """Give up files that arrived in part."""
    try:
        parts = [uuid.UUID(part) for part in request.POST.getlist("part")]
    except ValueError as fault:
        raise Invalid("A part's id is not one.") from fault
    services.discard_partial_uploads(user=request.user, parts=parts)
    messages.success(request, "What arrived is discarded.")
    return redirect("upload")


def _target(request: HttpRequest, full_name: str) -> Adapter:
    """The adapter that gets a new version."""
    owner, _, name = full_name.partition("/")
    adapter = selectors.get_adapter(user=request.user, owner=owner, name=name)
    policy.require(request.user, policy.Action.EDIT, adapter)
    return adapter


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def upload_read(request: HttpRequest, upload_id: str) -> HttpResponse:
    """What was read from the files, and the form that publishes them."""
    row = selectors.get_upload(user=request.user, upload_id=upload_id)
    if row.state == Upload.State.PUBLISHED and row.adapter is not None:
        return redirect(row.adapter.get_absolute_url())
    name = request.GET.get("adapter", "")
    target = _target(request, name) if name else None
    form = _form(request, row)
    if request.method == "POST":
        done = _publish(request, row, form, target)
        if done is not None:
            return done
    context = {"upload": row, "form": form, "adapter": target, **_reading(row)}
    return render(request, "adapters/upload_read.html", context, status=422 if request.method == "POST" else 200)


def _form(request: HttpRequest, upload: Upload) -> PublishForm:
    suggested = upload.suggested
    initial = {
        "name": re.sub(r"[^a-z0-9._-]+", "-", str(suggested.get("title", "")).lower()).strip("-._")[:60],
        "title": suggested.get("title", ""),
        "description": suggested.get("description", ""),
        "license": suggested.get("license", ""),
        "tags": ", ".join(suggested.get("tags", [])),
        "template": "{prompt}",
        "visibility": Adapter.Visibility.PUBLIC,
    }
    question = question_of(upload.artifact, suggested)
    return PublishForm(request.POST or None, initial=initial, question=question)


def _publish(request: HttpRequest, upload: Upload, form: PublishForm, target: Adapter | None) -> HttpResponse | None:
    """The redirect to the adapter; None when the form has faults, which it then shows."""
    try:
        if target is not None:
            message = request.POST.get("message", "")[:300]
            adapter = services.publish_upload(user=request.user, upload=upload, adapter=target, message=message)
        elif form.is_valid():
            data = form.cleaned_data
            adapter = services.publish_upload(
                user=request.user,
                upload=upload,
                name=data["name"],
                visibility=data["visibility"],
                base=data.get("base", ""),
                **form.said(),
            )
        else:
            return None
    except Invalid as error:
        form.is_valid()
        show_fault(form, error, prompt_format="template")
        return None
    except AppError as error:
        form.is_valid()
        show_fault(form, error)
        return None
    messages.success(request, f"{adapter.full_name} is published." if target is None else "The new version is here.")
    return redirect(adapter.get_absolute_url())


def _reading(upload: Upload) -> dict[str, Any]:
    """State of the check for ``adapters/reading.html``."""
    artifact = upload.artifact
    if artifact is None:
        return {"artifact": None, "problems": upload.problems, "reading": False}
    job = None
    if artifact.state not in _ENDED:
        job = artifacts.inspections_of(artifact).first()
    reading = artifact.state not in _ENDED and artifacts.is_being_checked(artifact)
    if not reading and artifact.state not in _ENDED:
        # The check may have ended between the two questions.
        artifact.refresh_from_db()
    return {
        "artifact": artifact,
        "problems": [*upload.problems, *artifact.problems],
        "reading": reading,
        "stuck": artifact.state not in _ENDED and not reading,
        "job": job,
        "live": jobs.live_state(job) if job is not None else None,
    }


@login_required
@require_safe
def upload_reading(request: HttpRequest, upload_id: str) -> HttpResponse:
    """The part of the page that changes while the check runs; asks for a reload when there is nothing to publish."""
    row = selectors.get_upload(user=request.user, upload_id=upload_id)
    context = {"upload": row, **_reading(row)}
    if not context["reading"]:
        # What was read changes what is asked; the field is swapped into the form beside.
        context["asked"] = _form(request, row)
    response = render(request, "adapters/reading.html", context)
    if row.artifact is None or row.artifact.state == Artifact.State.INVALID or context.get("stuck"):
        response["HX-Refresh"] = "true"
    return response


@login_required
@require_POST
def recheck(request: HttpRequest, upload_id: str) -> HttpResponse:
    row = selectors.get_upload(user=request.user, upload_id=upload_id)
    services.recheck_upload(user=request.user, upload=row)
    return redirect("upload-read", upload_id=row.pk)


@login_required
@require_POST
def discard(request: HttpRequest, upload_id: str) -> HttpResponse:
    row = selectors.get_upload(user=request.user, upload_id=upload_id)
    services.discard_upload(user=request.user, upload=row)
    messages.success(request, "The upload is discarded.")
    return redirect("upload")
