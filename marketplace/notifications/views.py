"""The page of what somebody was told, and the choice of letters."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from marketplace.core.pagination import keyset_page
from marketplace.notifications import selectors, services
from marketplace.notifications.models import Kind

PAGE = 30


@login_required
@require_safe
def notification_list(request: HttpRequest) -> HttpResponse:
    unread = request.GET.get("show") == "unread"
    page = keyset_page(
        selectors.notifications_of(request.user, unread=unread),
        order=("-created_at", "-id"),
        cursor=request.GET.get("cursor") or None,
        limit=PAGE,
    )
    context = {
        "rows": page.items,
        "next_cursor": page.next_cursor,
        "only_unread": unread,
        "unread_count": selectors.count_unread(request.user),
    }
    return render(request, "notifications/notifications.html", context)


@login_required
@require_POST
def open_one(request: HttpRequest, notification_id: int) -> HttpResponse:
    """Mark it as read and go where it leads; or stay, with ``stay``."""
    row = selectors.get_notification(user=request.user, key=notification_id)
    services.mark_read(user=request.user, keys=[row.pk])
    return redirect("notifications" if "stay" in request.POST else row.address)


@login_required
@require_POST
def read_all(request: HttpRequest) -> HttpResponse:
    services.mark_read(user=request.user)
    return redirect("notifications")


@login_required
@require_POST
def letters(request: HttpRequest) -> HttpResponse:
    """The form on the account page: a box for each kind."""
    wanted = {kind: kind in request.POST for kind in Kind.values}
    services.choose_letters(user=request.user, wanted=wanted)
    messages.success(request, "Your choice of letters is saved.")
    return redirect("account")
