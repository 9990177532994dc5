"""The one translator from errors to HTTP: REST answers with the envelope, pages with the same words."""

from __future__ import annotations

from typing import Any

import redis
import structlog
from django.conf import settings
from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.core.exceptions import ValidationError as ModelFault
from django.db import InterfaceError, OperationalError
from django.http import Http404
from kombu.exceptions import OperationalError as BrokerError
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import set_rollback

from inference_worker import errors as engine
from marketplace.core.errors import (
    AppError,
    Forbidden,
    Gone,
    Invalid,
    NotAuthenticated,
    NotFound,
    StorageIsFull,
    TooLarge,
    TooManyRequests,
    Unavailable,
)

logger = structlog.get_logger(__name__)

#: A server behind the site that went away; it comes back without anybody's doing here.
_SERVER_GONE = (OperationalError, InterfaceError, redis.ConnectionError, redis.TimeoutError, BrokerError)


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
    return _of_libraries(error) or _of_servers(error)


def _of_libraries(error: Exception) -> AppError | None:
    if isinstance(error, RequestDataTooBig):
        return TooLarge(f"The request's body is longer than {settings.DATA_UPLOAD_MAX_MEMORY_SIZE:,} bytes.")
    if isinstance(error, ModelFault):
        fields = error.message_dict if hasattr(error, "error_dict") else {"non_field_errors": error.messages}
        return Invalid(" ".join(sentence for found in fields.values() for sentence in found), extra={"fields": fields})
    if isinstance(error, exceptions.ValidationError):
        fields = _fields(error.detail)
        words = "; ".join(f"{name}: {' '.join(sentences)}" for name, sentences in fields.items())
        return Invalid(f"The request has faults. {words}", extra={"fields": fields})
    if isinstance(error, exceptions.NotAuthenticated | exceptions.AuthenticationFailed):
        return NotAuthenticated(str(error.detail), code=str(getattr(error.detail, "code", "not_authenticated")))
    if isinstance(error, exceptions.Throttled):
        wait = int(getattr(error, "wait", None) or 60)
        return TooManyRequests(f"Too many requests. Try again in {wait} seconds.", extra={"retry_after": wait})
    if isinstance(error, exceptions.APIException):
        translated = AppError(str(error.detail), code=str(error.default_code))
        translated.status = error.status_code
        return translated
    return None


def _of_servers(error: Exception) -> AppError | None:
    if isinstance(error, _SERVER_GONE):
        return Unavailable("The site's database or message server does not answer. Try again in a minute.")
    if isinstance(error, engine.StorageFull):
        return StorageIsFull("The site's storage is full, so nothing was saved. Tell whoever runs it.")
    if isinstance(error, engine.BlobMissing):
        # Bytes go by the block list, while what is kept of their file stays.
        words = "The bytes that this needs are deleted: a moderator blocked them. Upload another file in their place."
        return Gone(words, code="bytes_gone")
    if isinstance(error, engine.BadInput):
        return Invalid(error.message, code=error.code, extra=error.extra)
    return None


def translate_for_rest(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's exception handler. A bug (None) goes on to become a 500 and is seen in the log."""
    translated = as_app_error(error)
    if translated is None:
        return None
    set_rollback()
    if translated.status >= 500:
        logger.warning("request_failed", code=translated.code, exc_info=error)
    headers = {}
    if translated.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if "retry_after" in translated.extra:
        headers["Retry-After"] = str(translated.extra["retry_after"])
    return Response(translated.envelope(), status=translated.status, headers=headers)
