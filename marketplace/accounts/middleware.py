"""Accounts that are about to be erased change nothing any more."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponseBase
from django.utils.deprecation import MiddlewareMixin

from marketplace import policy
from marketplace.accounts.authentication import LEAVING
from marketplace.core.error_pages import render_error
from marketplace.core.errors import Forbidden

_SAFE = ("GET", "HEAD", "OPTIONS", "TRACE")
#: What somebody who leaves may still do: take it back, go, and come in again.
_OPEN = {"account-reopen", "account_logout", "account_login", "logout", "login"}


class ClosingAccounts(MiddlewareMixin):
    """For sessions, pages and REST alike; ``TokenAuthentication`` says the same to tokens."""

    def process_view(
        self, request: HttpRequest, view: Any, arguments: tuple[Any, ...], options: dict[str, Any]
    ) -> HttpResponseBase | None:
        if request.method in _SAFE or not policy.is_leaving(request.user):
            return None
        if request.resolver_match is not None and request.resolver_match.url_name in _OPEN:
            return None
        return render_error(request, Forbidden(LEAVING, code="account_closing"))
