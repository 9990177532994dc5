"""An adapter's settings: its name, its owner, its end; and what becomes of its versions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from marketplace import policy
from marketplace.accounts.throttling import LetterThrottle, spend
from marketplace.adapters import selectors, services, tombstones
from marketplace.adapters.life_forms import DeprecateForm, OfferForm, RenameForm, YankForm
from marketplace.adapters.models import Adapter, Lineage, Transfer, Version
from marketplace.adapters.transfer_selectors import waiting_offer
from marketplace.adapters.views.owner import own_adapter
from marketplace.core.errors import AppError
from marketplace.core.forms import PlainForm, show_fault


@login_required
@require_safe
def settings_page(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    return _page(request, own_adapter(request, owner, name, policy.Action.ADMINISTER))


def _page(request: HttpRequest, adapter: Adapter, status: int = 200, **changed: Any) -> HttpResponse:
    children = Lineage.objects.filter(parent__adapter=adapter, child__adapter__deleted_at=None)
    context = {
        "adapter": adapter,
        "rename_form": RenameForm(initial={"name": adapter.name}, auto_id="rename_%s"),
        "offer_form": OfferForm(auto_id="offer_%s"),
        "offer": waiting_offer(adapter),
        "former": [f"{row.owner.username}/{row.name}" for row in adapter.former_names.select_related("owner")],
        "children": children.values("child__adapter").distinct().count(),
    }
    return render(request, "adapters/settings.html", context | changed, status=status)


@login_required
@require_POST
def rename(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    adapter = own_adapter(request, owner, name, policy.Action.ADMINISTER)
    form = RenameForm(request.POST, auto_id="rename_%s")
    if form.is_valid():
        before = adapter.full_name
        try:
            adapter = services.rename_adapter(user=request.user, adapter=adapter, name=form.cleaned_data["name"])
        except AppError as error:
            show_fault(form, error)
        else:
            if adapter.full_name != before:
                messages.success(request, f"{before} is {adapter.full_name} now. The old address leads there.")
            return redirect("adapter-settings", adapter.owner.username, adapter.name)
    return _page(request, adapter, status=422, rename_form=form)


@login_required
@require_POST
def offer(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    adapter = own_adapter(request, owner, name, policy.Action.ADMINISTER)
    form = OfferForm(request.POST, auto_id="offer_%s")
    if form.is_valid():
        try:
            spend(request, LetterThrottle)
            found = services.offer_transfer(user=request.user, adapter=adapter, receiver=form.cleaned_data["receiver"])
        except AppError as error:
            show_fault(form, error)
        else:
            messages.success(request, f"{adapter.full_name} is offered to {found.receiver.username}.")
            return redirect("adapter-settings", adapter.owner.username, adapter.name)
    return _page(request, adapter, status=422, offer_form=form)


@login_required
@require_POST
def withdraw_offer(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    adapter = own_adapter(request, owner, name, policy.Action.ADMINISTER)
    waiting: Transfer | None = waiting_offer(adapter)
    if waiting is not None:
        services.withdraw_transfer(user=request.user, transfer=waiting)
        messages.success(request, "The offer is withdrawn.")
    return redirect("adapter-settings", adapter.owner.username, adapter.name)


@login_required
@require_POST
def restore(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    adapter = tombstones.get_tombstone(user=request.user, owner=owner, name=name)
    adapter = services.restore_adapter(user=request.user, adapter=adapter)
    messages.success(request, f"{adapter.full_name} is back, and {adapter.get_visibility_display().lower()}.")
    return redirect(adapter.get_absolute_url())


@login_required
@require_POST
def purge(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    adapter = tombstones.get_tombstone(user=request.user, owner=owner, name=name)
    services.purge_adapter(user=request.user, adapter=adapter)
    messages.success(request, f"{adapter.full_name} is deleted for good.")
    return redirect("account")


def _version(request: HttpRequest, owner: str, name: str, commit: str) -> Version:
    adapter = own_adapter(request, owner, name)
    version = selectors.get_version(adapter=adapter, revision=commit)
    version.adapter = adapter
    return version


def _retire(
    request: HttpRequest, version: Version, form: PlainForm, act: Callable[..., Version], said: str
) -> HttpResponse:
    """Do ``act`` with what the form says; with faults, the version's own page shows them."""
    if form.is_valid():
        try:
            act(user=request.user, version=version, **form.cleaned_data)
        except AppError as error:
            show_fault(form, error)
        else:
            messages.success(request, said)
            return redirect("adapter-versions", version.adapter.owner.username, version.adapter.name)
    context = {"adapter": version.adapter, "version": version, "form": form}
    return render(request, "adapters/retire.html", context, status=422)


@login_required
@require_POST
def yank(request: HttpRequest, owner: str, name: str, commit: str) -> HttpResponse:
    version = _version(request, owner, name, commit)
    form = YankForm(request.POST)
    said = f"Version {version.commit[:8]} is yanked. It is still found by its commit."
    return _retire(request, version, form, services.yank_version, said)


@login_required
@require_POST
def unyank(request: HttpRequest, owner: str, name: str, commit: str) -> HttpResponse:
    version = services.unyank_version(user=request.user, version=_version(request, owner, name, commit))
    messages.success(request, f"Version {version.commit[:8]} is offered again.")
    return redirect("adapter-versions", version.adapter.owner.username, version.adapter.name)


@login_required
@require_POST
def deprecate(request: HttpRequest, owner: str, name: str, commit: str) -> HttpResponse:
    version = _version(request, owner, name, commit)
    form = DeprecateForm(request.POST)
    return _retire(request, version, form, services.deprecate_version, f"Version {version.commit[:8]} is deprecated.")


@login_required
@require_POST
def undeprecate(request: HttpRequest, owner: str, name: str, commit: str) -> HttpResponse:
    version = services.undeprecate_version(user=request.user, version=_version(request, owner, name, commit))
    messages.success(request, f"Version {version.commit[:8]} is not deprecated any more.")
    return redirect("adapter-versions", version.adapter.owner.username, version.adapter.name)
