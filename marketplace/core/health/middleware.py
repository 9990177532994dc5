"""Counts every request and how long its answer took to begin."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from marketplace.core.health.metrics import LATENCY, REQUESTS

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class RequestMetrics:
    """Labels are routes, not paths: their number is bounded whatever people ask for."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]]) -> None:
        self.get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self._is_async:
            return self._answer_async(request)
        began = time.perf_counter()
        response = self.get_response(request)
        assert isinstance(response, HttpResponseBase)
        _count(request, response, began)
        return response

    async def _answer_async(self, request: HttpRequest) -> HttpResponseBase:
        began = time.perf_counter()
        answer = self.get_response(request)
        assert not isinstance(answer, HttpResponseBase)
        response = await answer
        _count(request, response, began)
        return response


def _count(request: HttpRequest, response: HttpResponseBase, began: float) -> None:
    match = request.resolver_match
    route = match.route if match is not None else "(none)"
    method = request.method if request.method in _METHODS else "other"
    LATENCY.labels(method, route).observe(time.perf_counter() - began)
    REQUESTS.labels(method, route, str(response.status_code)).inc()
