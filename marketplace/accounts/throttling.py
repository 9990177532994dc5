"""Rate limits of REST that also guard pages: the same counters for both."""

from __future__ import annotations

from django.http import HttpRequest
from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle
from rest_framework.views import APIView

from marketplace.core.errors import TooManyRequests


class PersonOrAddress(SimpleRateThrottle):
    """Counts signed-in people by their account and everybody else by address, under two rates.

    ``scope`` names the rate of people in ``DEFAULT_THROTTLE_RATES``, ``anonymous_scope`` that of addresses.
    """

    anonymous_scope = ""

    def allow_request(self, request: Request | HttpRequest, view: APIView | None) -> bool:
        if self.anonymous_scope and not request.user.is_authenticated:
            self.scope = self.anonymous_scope
            self.rate = self.get_rate()
            self.num_requests, self.duration = self.parse_rate(self.rate)
        return bool(super().allow_request(request, view))  # type: ignore[arg-type]

    def get_cache_key(self, request: Request | HttpRequest, view: APIView | None) -> str:
        who = request.user.pk if request.user.is_authenticated else self.get_ident(request)  # type: ignore[arg-type]
        return self.cache_format % {"scope": self.scope, "ident": who}


class ReportThrottle(PersonOrAddress):
    scope = "report"
    anonymous_scope = "report_anon"


class TokenThrottle(PersonOrAddress):
    """Making tokens."""

    scope = "token"


class ConfirmThrottle(PersonOrAddress):
    """Writing one's password once more before something that cannot be undone."""

    scope = "confirm"


class AccountExportThrottle(PersonOrAddress):
    """Everything of an account at once."""

    scope = "account_export"


class GenerateThrottle(PersonOrAddress):
    """Generations, by REST and by the playground's page."""

    scope = "generate"


class MergeThrottle(PersonOrAddress):
    """Starting merges, by REST and by the page, and asking for verdicts by REST."""

    scope = "merge"


class VerdictThrottle(PersonOrAddress):
    """Looking at the combine page with adapters on it: each look judges all of them, pair by pair."""

    scope = "verdict"
    anonymous_scope = "verdict_anon"


class ImportThrottle(PersonOrAddress):
    """Starting imports, by REST and by the page."""

    scope = "import"


class ExportThrottle(PersonOrAddress):
    """Starting exports, by REST and by the page."""

    scope = "export"


class EvaluateThrottle(PersonOrAddress):
    """Asking for evaluations and uploading suites, by REST and by pages."""

    scope = "evaluate"


class CompareThrottle(PersonOrAddress):
    """Comparing versions, which reads every module's measurements."""

    scope = "compare"
    anonymous_scope = "compare_anon"


class PreviewThrottle(PersonOrAddress):
    """Looking at cards while they are written."""

    scope = "preview"


class AccessThrottle(PersonOrAddress):
    """Asking owners for access: each request may send a letter."""

    scope = "access"


class LetterThrottle(PersonOrAddress):
    """Letting somebody work on an adapter, and offering it: each may send a letter."""

    scope = "letter"


class UploadThrottle(PersonOrAddress):
    scope = "upload"


def spend(request: HttpRequest, throttle: type[PersonOrAddress]) -> None:
    """Count one request of a page against ``throttle``. Raises ``TooManyRequests``."""
    limiter = throttle()
    if limiter.allow_request(request, None):
        return
    wait = int(limiter.wait() or 60) + 1
    raise TooManyRequests(f"Too many requests. Try again in {wait} seconds.", extra={"retry_after": wait})
