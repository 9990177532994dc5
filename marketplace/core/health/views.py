"""``/healthz``, ``/readyz`` and ``/metrics``."""

from __future__ import annotations

import hmac
import ipaddress

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from marketplace.core.health.metrics import exposition
from marketplace.core.health.parts import known_parts


@never_cache
@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """The process answers; nothing else is asked, so that a broken database does not restart the web process."""
    return JsonResponse({"status": "ok", "version": settings.VERSION})


@never_cache
@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """Every part with its state: 200 ``ready`` or ``degraded`` (the site serves, some work waits), 503 otherwise."""
    parts = known_parts()
    if not all(part.ok for part in parts if part.required):
        status, code = "unavailable", 503
    elif not all(part.ok for part in parts):
        status, code = "degraded", 200
    else:
        status, code = "ready", 200
    missing = [part.name for part in parts if not part.ok]
    body = {"status": status, "missing": missing, "parts": {part.name: part.as_json() for part in parts}}
    return JsonResponse(body, status=code)


@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Prometheus' text format. With ``METRICS_TOKEN`` set, only for who sends it as bearer token; without one, only for
    this machine itself, unless the site is served without TLS (``METRICS_OPEN``)."""
    if settings.METRICS_TOKEN:
        expected = f"Bearer {settings.METRICS_TOKEN}"
        given = request.headers.get("Authorization", "")
        if not hmac.compare_digest(given.encode(), expected.encode()):
            return HttpResponse("A bearer token is needed.\n", status=401, content_type="text/plain")
    elif not settings.METRICS_OPEN and not _from_this_machine(request):
        words = "Metrics are shown to this machine only. Set METRICS_TOKEN and send it as bearer token.\n"
        return HttpResponse(words, status=403, content_type="text/plain")
    body, content_type = exposition()
    return HttpResponse(body, content_type=content_type)


def _from_this_machine(request: HttpRequest) -> bool:
    """A loopback address that speaks for itself: a proxy on this machine forwards strangers, and says so."""
    if any(name.startswith("HTTP_X_FORWARDED_") or name == "HTTP_FORWARDED" for name in request.META):
        return False
    try:
        return ipaddress.ip_address(request.META.get("REMOTE_ADDR") or "").is_loopback
    except ValueError:
        return False
