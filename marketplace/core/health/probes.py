"""Answers ``/healthz``, ``/readyz`` and ``/metrics`` before hosts are checked and HTTP is sent to HTTPS.

Who asks them is a container's health check, a balancer or Prometheus: they speak to an address, not to the site's name.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import resolve

PATHS = frozenset({"/healthz", "/readyz", "/metrics"})


class Probes:
    """Has to stand before every middleware that asks for the request's host."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]]) -> None:
        self.get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if request.path_info not in PATHS:
            return self.get_response(request)
        return sync_to_async(_answer)(request) if self._is_async else _answer(request)


def _answer(request: HttpRequest) -> HttpResponseBase:
    match = request.resolver_match = resolve(request.path_info)
    response: HttpResponseBase = match.func(request, *match.args, **match.kwargs)
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    return response
