"""The list of what one watches, one of them with its history, and the control on other pages."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from marketplace.core.errors import AppError
from marketplace.core.pagination import keyset_page
from marketplace.regressions import naming, selectors, services
from marketplace.regressions.settling import sentence_of

PAGE = 30


@login_required
@require_safe
def watch_list(request: HttpRequest) -> HttpResponse:
    page = keyset_page(
        selectors.watches_of(request.user),
        order=("-created_at", "-id"),
        cursor=request.GET.get("cursor") or None,
        limit=PAGE,
    )
    halted = [row.pk for row in page.items if selectors.quarantined(row)]
    context = {"watches": page.items, "next_cursor": page.next_cursor, "quarantined": halted}
    return render(request, "regressions/watches.html", context)


@login_required
@require_safe
def watch_page(request: HttpRequest, watch_id: int) -> HttpResponse:
    found = selectors.get_watch(user=request.user, key=watch_id)
    halted = selectors.halted(found)
    opens = not halted
    history = [(check, sentence_of(check) if opens else "") for check in found.newest]
    return render(
        request, "regressions/watch.html", {"watch": found, "history": history, "opens": opens, "halted": halted}
    )


@login_required
@require_POST
def watch_stop(request: HttpRequest, watch_id: int) -> HttpResponse:
    """By its number: what is out of reach by now can still be stopped."""
    found = selectors.get_watch(user=request.user, key=watch_id)
    services.unwatch(user=request.user, row=found)
    messages.success(request, f"{found.label} is no longer evaluated regularly.")
    return redirect("watches")


@login_required
@require_POST
def watch_reference(request: HttpRequest, watch_id: int) -> HttpResponse:
    found = selectors.get_watch(user=request.user, key=watch_id)
    try:
        services.take_reference(user=request.user, row=found)
        messages.success(request, "Later results are held against the newest ones.")
    except AppError as error:
        messages.error(request, error.message)
    return redirect("watch", found.pk)


@login_required
@require_POST
def watch_set(request: HttpRequest) -> HttpResponse:
    """The control: how often, or not at all; back to what it was about."""
    try:
        subject = naming.find_subject(user=request.user, full_name=request.POST.get("subject", ""))
        row = selectors.watch_on(request.user, subject)
        if request.POST.get("every"):
            services.watch(user=request.user, subject=subject, every=request.POST["every"])
            messages.success(request, f"{subject.full_name} is evaluated regularly from now on.")
        elif row is not None:
            services.unwatch(user=request.user, row=row)
            messages.success(request, f"{subject.full_name} is no longer evaluated regularly.")
    except AppError as error:
        messages.error(request, error.message)
        return redirect("watches")
    return redirect(subject.get_absolute_url())
