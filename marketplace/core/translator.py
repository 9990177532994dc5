"""The one translator from errors to HTTP: REST answers with the envelope, pages with the same words."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import set_rollback

from marketplace.core.errors import AppError, Forbidden, Invalid, NotAuthenticated, NotFound, TooManyRequests


def _fields(detail: Any) -> dict[str, list[str]]:
    if isinstance(detail, dict):
        return {str(key): _sentences(value) for key, value in detail.items()}
    return {"non_field_errors": _sentences(detail)}


def _sentences(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [f"{key}: {sentence}" for key, inner in value.items() for sentence in _sentences(inner)]
    if isinstance(value, list | tuple):
        return [sentence for inner in value for sentence in _sentences(inner)]
    return [str(value)]


def as_app_error(error: Exception) -> AppError | None:
    """The family's member that says the same as ``error``; None when ``error`` is a bug."""
    if isinstance(error, AppError):
        return error
    if isinstance(error, Http404):
        return NotFound("There is nothing at this address, or it is not yours to see.")
    if isinstance(error, PermissionDenied):
        return Forbidden(str(error) or "You may not do this.")
    if isinstance(error, exceptions.ValidationError):
        fields = _fields(error.detail)
        words = "; ".join(f"{name}: {' '.join(sentences)}" for name, sentences in fields.items())
        return Invalid(f"The request has faults. {words}", extra={"fields": fields})
    if isinstance(error, exceptions.NotAuthenticated | exceptions.AuthenticationFailed):
        return NotAuthenticated(str(error.detail), code=str(getattr(error.detail, "code", "not_authenticated")))
    if isinstance(error, exceptions.Throttled):
        wait = int(error.wait or 60)
        return TooManyRequests(f"Too many requests. Try again in {wait} seconds.", extra={"retry_after": wait})
    if isinstance(error, exceptions.APIException):
        translated = AppError(str(error.detail), code=str(error.default_code))
        translated.status = error.status_code
        return translated
    return None


def translate_for_rest(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's exception handler. A bug (None) goes on to become a 500 and is seen in the log."""
    translated = as_app_error(error)
    if translated is None:
        return None
    set_rollback()
    headers = {}
    if translated.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if "retry_after" in translated.extra:
        headers["Retry-After"] = str(translated.extra["retry_after"])
    return Response(translated.envelope(), status=translated.status, headers=headers)
