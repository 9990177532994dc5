"""Cards as files: editing with a preview, and what changed between two versions."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from marketplace.accounts.throttling import CompareThrottle, PreviewThrottle, spend
from marketplace.adapters import cards, history, selectors, services
from marketplace.adapters.forms import CardTextForm
from marketplace.adapters.services.card_files import current_card
from marketplace.adapters.uploads.selection import MAX_CARD
from marketplace.adapters.views.owner import own_adapter
from marketplace.core.errors import AppError
from marketplace.core.forms import show_fault

#: As many versions are offered for comparison; others have their address.
_OFFERED = 200


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def edit_card(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    """README.md as it is. “Preview” shows it without keeping it, for readers without JavaScript."""
    adapter = own_adapter(request, owner, name)
    commit = adapter.current.commit if adapter.current else ""
    form = CardTextForm(request.POST or None, initial={"text": current_card(adapter), "parent": commit})
    status = 200
    if request.method == "POST":
        spend(request, PreviewThrottle)
    if request.method == "POST" and form.is_valid() and "preview" not in request.POST:
        try:
            services.edit_card(user=request.user, adapter=adapter, **form.cleaned_data)
        except AppError as error:
            show_fault(form, error)
        else:
            messages.success(request, "Saved.")
            return redirect(adapter.get_absolute_url())
    if request.method == "POST" and "preview" not in request.POST:
        status = 422
    text = form["text"].value() or ""
    context = {"adapter": adapter, "form": form, "preview": cards.review(text, base_name=adapter.base_name)}
    return render(request, "adapters/edit_card.html", context, status=status)


@login_required
@require_POST
def preview(request: HttpRequest) -> HttpResponse:
    """A card as its page would show it, and what is wrong with it. Nothing is kept."""
    spend(request, PreviewThrottle)
    text = request.POST.get("text", "")[:MAX_CARD]
    review = cards.review(text, base_name=request.POST.get("base_name", "")[:300])
    return render(request, "adapters/card_preview.html", {"preview": review})


@require_safe
def compare(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    """``?from=…&to=…``; without them the current version against the one before it."""
    adapter = selectors.get_adapter(user=request.user, owner=owner, name=name)
    spend(request, CompareThrottle)
    offered = selectors.versions_of(user=request.user, adapter=adapter).prefetch_related(None)
    versions = list(offered.select_related(None).only("commit", "created_at", "message")[:_OFFERED])
    before, after = request.GET.get("from", ""), request.GET.get("to", "")
    first = len(versions) == 1 and not (before or after)
    diff = None if first else history.compare_versions(user=request.user, adapter=adapter, before=before, after=after)
    return render(request, "adapters/compare.html", {"adapter": adapter, "versions": versions, "diff": diff})
