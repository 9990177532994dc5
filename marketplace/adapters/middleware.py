"""Addresses of adapters that are no longer there: former names lead on, deleted adapters leave a tombstone.

For pages. REST answers under a former name as under the present one, which its answer names.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit, urlunsplit

from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import render
from django.utils.deprecation import MiddlewareMixin

from marketplace.adapters import selectors, tombstones
from marketplace.adapters.models import Adapter, FormerName, Lineage
from marketplace.core.error_pages import wants_json
from marketplace.core.errors import AppError, Gone

_SHOWN_CHILDREN = 50


class AdapterAddresses(MiddlewareMixin):
    """Below ``ErrorPages``, so that it sees the errors of views first."""

    def process_view(
        self, request: HttpRequest, view: Any, arguments: tuple[Any, ...], options: dict[str, Any]
    ) -> HttpResponseBase | None:
        if request.method not in ("GET", "HEAD") or not _is_page_of_adapter(request, options):
            return None
        owner, name = options["owner"], options["name"]
        if not FormerName.objects.filter(owner__username__iexact=owner, name__iexact=name).exists():
            return None
        try:
            adapter = selectors.get_adapter(user=request.user, owner=owner, name=name)
        except AppError:
            # Not theirs to see, or deleted: the view says it in the words for any such address.
            return None
        response = HttpResponseRedirect(_moved(request.get_full_path(), adapter))
        # A name can be taken back, and who may see the adapter changes; nobody remembers this answer.
        response["Cache-Control"] = "private, no-store"
        return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """The tombstone's page instead of the bare words."""
        found = request.resolver_match
        if not isinstance(exception, Gone) or exception.code != "deleted" or wants_json(request) or found is None:
            return None
        if not _is_page_of_adapter(request, found.kwargs):
            return None
        adapter = tombstones.get_tombstone(user=request.user, owner=found.kwargs["owner"], name=found.kwargs["name"])
        visible = selectors.visible_adapters(request.user).values("pk")
        children = Lineage.objects.filter(parent__adapter=adapter, child__adapter__in=visible)
        made = Adapter.objects.filter(pk__in=children.values("child__adapter")).select_related("owner")
        context = {
            "adapter": adapter,
            "message": exception.message,
            "made": list(made.order_by("-created_at", "-id")[:_SHOWN_CHILDREN]),
            "may_restore": exception.extra["may_restore"],
        }
        return render(request, "adapters/tombstone.html", context, status=exception.status)


def _is_page_of_adapter(request: HttpRequest, arguments: dict[str, Any]) -> bool:
    return {"owner", "name"} <= arguments.keys() and not request.path.startswith("/api/")


def _moved(address: str, adapter: Adapter) -> str:
    """The same address below the adapter's present name."""
    scheme, host, path, query, fragment = urlsplit(address)
    below = path.split("/", 3)[3:]
    return urlunsplit((scheme, host, "/".join([f"/{adapter.full_name}", *below]), query, fragment))
