"""Errors as answers: ``errors/error.html`` for people, the envelope for programs. One set of words for both.

Also Django's own handlers (``handler404`` and so on in ``marketplace.urls``) and the page for a failed CSRF check.
"""

from __future__ import annotations

from typing import Any

import structlog
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.urls import is_valid_path

from marketplace.core.errors import AppError, Forbidden, Invalid, NotAllowed, NotFound
from marketplace.core.translator import as_app_error

TEMPLATE = "errors/error.html"
#: Stands alone: where a server is gone, the usual frame of a page (who is signed in) cannot be drawn.
BROKEN_TEMPLATE = "errors/broken.html"
_HEADINGS = {
    400: "This request cannot be answered",
    401: "Sign in first",
    403: "You may not do this",
    404: "Nothing here",
    405: "Nothing to open here",
    409: "This has changed meanwhile",
    410: "Deleted",
    413: "Too large",
    429: "Too many requests",
    503: "Not available just now",
    507: "The storage is full",
}
_DEFAULT_HEADING = "Something went wrong"


class Broken(AppError):
    """A bug: the details are in the log, under the request id that the page shows."""

    status = 500
    code = "server_error"


def wants_json(request: HttpRequest) -> bool:
    """Whether the asker is a program: REST and protocol addresses, or a caller that accepts JSON but no page."""
    if request.path.startswith(("/api/", "/v1/")):
        return True
    return request.accepts("application/json") and not request.accepts("text/html")


def render_error(request: HttpRequest, error: AppError) -> HttpResponse:
    """The answer that says ``error``; the template gets ``status``, ``heading``, ``message``, ``code``, ``extra``."""
    response: HttpResponse
    if wants_json(request):
        response = JsonResponse(error.envelope(), status=error.status)
    else:
        context = {
            "status": error.status,
            "heading": _HEADINGS.get(error.status, _DEFAULT_HEADING),
            "message": error.message,
            "code": error.code,
            "extra": error.extra,
            "request_id": _request_id(),
        }
        if error.status >= 500:
            response = HttpResponse(render_to_string(BROKEN_TEMPLATE, context), status=error.status)
        else:
            response = render(request, TEMPLATE, context, status=error.status)
    if error.status == 401:
        response["WWW-Authenticate"] = "Bearer"
    if "retry_after" in error.extra:
        response["Retry-After"] = str(error.extra["retry_after"])
    return response


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """``handler400``: a request that Django itself found malformed. Its details stay in the log."""
    known = as_app_error(exception) if exception is not None else None
    return render_error(request, known or Invalid("The request is malformed.", code="bad_request"))


def forbidden(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """``handler403``."""
    return render_error(request, Forbidden(str(exception) if exception and str(exception) else "You may not do this."))


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """``handler404``; also what ``/api/v1/`` answers at an unknown address."""
    words = "There is nothing at this address, or it is not yours to see."
    return render_error(request, NotFound(words))


def not_allowed(request: HttpRequest) -> HttpResponse:
    """For what Django answers with nothing but a status: most often the address of a form, opened after a sign-in."""
    words = "This address only takes what a form sends. Nothing was done; open the form and send it again."
    return render_error(request, NotAllowed(words, extra={"back": _page_above(request.path)}))


def _page_above(path: str) -> str:
    """The nearest page that ``path`` lies below, where a form of its own usually stands."""
    above = path.rstrip("/")
    while "/" in above:
        above = above.rpartition("/")[0]
        for page in (f"{above}/", above):
            if page and is_valid_path(page):
                return page
    return "/"


def server_error(request: HttpRequest) -> HttpResponse:
    """``handler500``."""
    words = "This is a fault of the site, not yours. It has been written to the log."
    return render_error(request, Broken(words, extra={"request_id": _request_id()}))


def _request_id() -> str:
    return str(structlog.contextvars.get_contextvars().get("request_id", ""))


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """``CSRF_FAILURE_VIEW``. The usual cause is a page that was open for longer than the session."""
    words = "The form's protection has expired or your browser refuses cookies. Reload the page and send it again."
    extra: dict[str, Any] = {"reason": reason}
    return render_error(request, Forbidden(words, code="csrf", extra=extra))
