"""Downloads from the pages: the same answers as REST gives."""

from __future__ import annotations

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.views.decorators.http import require_safe

from marketplace.adapters import downloads


@require_safe
def file(request: HttpRequest, owner: str, name: str, revision: str, path: str) -> HttpResponseBase:
    return downloads.file_response(request, request.user, owner, name, revision, path)


@require_safe
def archive(request: HttpRequest, owner: str, name: str, revision: str) -> HttpResponseBase:
    return downloads.zip_response(request, request.user, owner, name, revision)
