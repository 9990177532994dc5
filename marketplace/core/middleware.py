"""What every request passes: unreadable addresses are refused, and errors of the family become answers."""

from __future__ import annotations

from typing import Any

import structlog
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.deprecation import MiddlewareMixin

from marketplace.core.error_pages import not_allowed, render_error, wants_json
from marketplace.core.errors import Invalid
from marketplace.core.translator import as_app_error

logger = structlog.get_logger(__name__)


class ErrorPages(MiddlewareMixin):
    """Answers ``AppError``s raised in plain views with a page, below ``/api/`` with the envelope: the same words.

    REST views translate their own; what is no error of the family goes on to ``handler500`` and is seen in the log.
    """

    def process_view(
        self, request: HttpRequest, view: Any, arguments: tuple[Any, ...], options: dict[str, Any]
    ) -> HttpResponseBase | None:
        """PostgreSQL cannot hold NUL, and no address of ours has one: refuse it once, here."""
        if "\0" in request.path or "%00" in request.META.get("QUERY_STRING", ""):
            return render_error(request, Invalid("The address holds a NUL character. Remove “%00” from it."))
        return None

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """Django's own refusal of a method is empty, which nobody who opened an address in a browser can read."""
        empty = isinstance(response, HttpResponse) and not response.content
        if response.status_code != 405 or not empty or request.method != "GET" or wants_json(request):
            return response
        page = not_allowed(request)
        page["Allow"] = response["Allow"]
        return page

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponseBase | None:
        translated = as_app_error(exception)
        if translated is None:
            return None
        if translated.status >= 500:
            logger.warning("request_failed", code=translated.code, exc_info=exception)
        return render_error(request, translated)
