"""The account page: profile, adapters, tokens, quota."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from marketplace.accounts import selectors, services
from marketplace.accounts.closing import close_account, reopen_account
from marketplace.accounts.export import export_account
from marketplace.accounts.forms import CloseForm, ProfileForm, TokenForm
from marketplace.accounts.throttling import AccountExportThrottle, ConfirmThrottle, TokenThrottle, spend
from marketplace.adapters.access_selectors import requests_by, requests_to
from marketplace.adapters.selectors import listed_adapters, shared_with
from marketplace.adapters.services import accept_transfer, decline_transfer
from marketplace.adapters.services.naming import taken_because
from marketplace.adapters.tombstones import recently_deleted, restorable_until
from marketplace.adapters.transfer_selectors import get_offer, offers_of, offers_to
from marketplace.adapters.uploads.quota import quota_of, stored_bytes
from marketplace.compositions.mix_selectors import listed_mixes
from marketplace.core.errors import AppError
from marketplace.core.forms import show_fault

_SHOWN_ADAPTERS = 100
_SHOWN_MIXES = 20


def _page(request: HttpRequest, status: int = 200, **changed: Any) -> HttpResponse:
    user = request.user
    used, quota = stored_bytes(user), quota_of(user)
    own = listed_adapters(user).filter(owner=user)
    context = {
        "profile_form": ProfileForm(initial={"display_name": user.display_name}, auto_id="profile_%s"),
        "token_form": TokenForm(auto_id="token_%s"),
        "tokens": list(selectors.tokens_of(user)),
        "adapters": list(own.order_by("-updated_at", "-id")[:_SHOWN_ADAPTERS]),
        "adapter_count": own.count(),
        "mixes": list(listed_mixes(user, owner=user.username)[:_SHOWN_MIXES]),
        "shared": list(shared_with(user).order_by("-updated_at", "-id")[:_SHOWN_ADAPTERS]),
        "requests_to_me": list(requests_to(user)[:_SHOWN_ADAPTERS]),
        # Granted ones stand among what is shared.
        "requests_by_me": list(requests_by(user).exclude(state="approved")[:_SHOWN_ADAPTERS]),
        "offers": [(offer, taken_because(user, offer.adapter.name)) for offer in offers_to(user)[:_SHOWN_ADAPTERS]],
        "offered": list(offers_of(user).filter(sender=user, state="waiting")[:_SHOWN_ADAPTERS]),
        "deleted": [(row, restorable_until(row)) for row in recently_deleted(user)[:_SHOWN_ADAPTERS]],
        "used": used,
        "quota": quota,
        "share": min(1.0, used / quota) if quota else 1.0,
    }
    return render(request, "accounts/account.html", context | changed, status=status)


@login_required
@require_safe
def account(request: HttpRequest) -> HttpResponse:
    return _page(request)


@login_required
@require_POST
def edit_profile(request: HttpRequest) -> HttpResponse:
    form = ProfileForm(request.POST, auto_id="profile_%s")
    if form.is_valid():
        try:
            services.edit_profile(user=request.user, display_name=form.cleaned_data["display_name"])
        except AppError as error:
            show_fault(form, error)
        else:
            messages.success(request, "Saved.")
            return redirect("account")
    return _page(request, status=422, profile_form=form)


@login_required
@require_POST
def answer_offer(request: HttpRequest, offer_id: int) -> HttpResponse:
    """Take an adapter over, or decline it; a fault is shown above the account page."""
    offer = get_offer(user=request.user, key=offer_id)
    try:
        if request.POST.get("answer") == "accept":
            adapter = accept_transfer(user=request.user, transfer=offer, name=request.POST.get("name", ""))
            messages.success(request, f"{adapter.full_name} is yours now.")
            return redirect(adapter.get_absolute_url())
        decline_transfer(user=request.user, transfer=offer)
    except AppError as error:
        messages.error(request, error.message)
    else:
        messages.success(request, f"You declined {offer.adapter.full_name}.")
    return redirect("account")


@login_required
@require_safe
def export(request: HttpRequest) -> HttpResponseBase:
    """Everything that is stored of the person, as a file."""
    spend(request, AccountExportThrottle)
    return export_account(request, request.user, files=request.GET.get("files") == "1")


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def close(request: HttpRequest) -> HttpResponse:
    """The end of the account, after password and name."""
    form = CloseForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        try:
            spend(request, ConfirmThrottle)
            user = close_account(
                user=request.user,
                password=data["password"],
                username=data["username"],
                delete_adapters=data["adapters"] == "delete",
            )
        except AppError as error:
            show_fault(form, error)
        else:
            logout(request)
            return render(request, "accounts/closed.html", {"closing": user})
    context = {
        "form": form,
        "days": settings.ACCOUNT_GRACE_DAYS,
        "adapter_count": listed_adapters(request.user).filter(owner=request.user).count(),
    }
    return render(request, "accounts/close.html", context, status=422 if request.method == "POST" else 200)


@login_required
@require_POST
def reopen(request: HttpRequest) -> HttpResponse:
    left = reopen_account(user=request.user)
    messages.success(request, "Your account stays. What its closing deleted is restored; make new tokens.")
    for sentence in left:
        messages.warning(request, sentence)
    return redirect("account")


@login_required
@never_cache
@require_POST
def create_token(request: HttpRequest) -> HttpResponse:
    """The answer shows the secret, and nothing else ever does: no redirect, no storage, no cache."""
    form = TokenForm(request.POST, auto_id="token_%s")
    if form.is_valid():
        data = form.cleaned_data
        try:
            spend(request, TokenThrottle)
            token, secret = services.create_token(
                user=request.user, name=data["name"], scope=data["scope"], expires_at=form.expires_at()
            )
        except AppError as error:
            show_fault(form, error, expires_at="lifetime")
        else:
            return _page(request, status=201, new_token=token, secret=secret)
    return _page(request, status=422, token_form=form)


@login_required
@require_POST
def revoke_token(request: HttpRequest, token_id: int) -> HttpResponse:
    token = selectors.get_token(user=request.user, token_id=token_id)
    services.revoke_token(user=request.user, token=token)
    messages.success(request, f"The token {token.name} is revoked.")
    return redirect("account")
