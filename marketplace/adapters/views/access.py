"""Who may have an adapter: its owner decides on one page, others ask on the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from marketplace import policy
from marketplace.accounts.throttling import AccessThrottle, LetterThrottle, spend
from marketplace.adapters import access_selectors, selectors, services
from marketplace.adapters.access_forms import CollaboratorForm, OpennessForm, RequestForm
from marketplace.adapters.models import AccessRequest, Adapter
from marketplace.adapters.services.access import may_ask_again_at
from marketplace.core.errors import AppError, Invalid
from marketplace.core.forms import show_fault

#: Requests on the page; REST has them all.
_SHOWN = 200


def _adapter(request: HttpRequest, owner: str, name: str) -> Adapter:
    return selectors.get_adapter(user=request.user, owner=owner, name=name)


@require_safe
def access(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    return _page(request, _adapter(request, owner, name))


def _page(request: HttpRequest, adapter: Adapter, status: int = 200, **forms: Any) -> HttpResponse:
    """The owner's page, or the asker's; ``forms`` are those that were sent with faults."""
    rights = policy.rights(request.user, adapter)
    context: dict[str, Any] = {"adapter": adapter, "terms": adapter.gate_terms}
    if policy.Action.ADMINISTER in rights:
        requests = list(access_selectors.requests_of(adapter)[:_SHOWN])
        context |= {
            "openness_form": OpennessForm(adapter=adapter, auto_id="openness_%s"),
            "collaborator_form": CollaboratorForm(auto_id="collaborator_%s"),
            "collaborators": list(access_selectors.collaborators_of(adapter)),
            "waiting": [asked for asked in requests if asked.state == AccessRequest.State.WAITING],
            "answered": [asked for asked in requests if asked.state != AccessRequest.State.WAITING],
        }
        return render(request, "adapters/access_manage.html", context | forms, status=status)
    asked = access_selectors.request_of(request.user, adapter)
    context |= {
        "form": RequestForm(terms=adapter.gate_terms),
        "asked": asked,
        "again_at": may_ask_again_at(asked) if asked is not None else None,
        "role": access_selectors.role_of(request.user, adapter),
        "may_ask": policy.Action.ASK in rights,
        "may_download": policy.Action.DOWNLOAD in rights,
        "login": f"{settings.LOGIN_URL}?{urlencode({'next': policy.access_address(adapter)})}",
    }
    return render(request, "adapters/access.html", context | forms, status=status)


@require_POST
def ask(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    adapter = _adapter(request, owner, name)
    if not policy.is_known(request.user):
        return redirect(f"{settings.LOGIN_URL}?{urlencode({'next': policy.access_address(adapter)})}")
    form = RequestForm(request.POST, terms=adapter.gate_terms)
    if form.is_valid():
        try:
            spend(request, AccessThrottle)
            services.request_access(
                user=request.user,
                adapter=adapter,
                message=form.cleaned_data["message"],
                agree=form.cleaned_data.get("agree", False),
            )
        except AppError as error:
            show_fault(form, error)
        else:
            messages.success(request, f"{adapter.owner.username} is told that you ask.")
            return redirect(policy.access_address(adapter))
    return _page(request, adapter, status=422, form=form)


@login_required
@require_POST
def withdraw(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    adapter = _adapter(request, owner, name)
    return _done(request, adapter, "Withdrawn.", lambda: services.withdraw_request(user=request.user, adapter=adapter))


@login_required
@require_POST
def openness(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    """Visibility and terms."""
    adapter = _adapter(request, owner, name)
    policy.require(request.user, policy.Action.ADMINISTER, adapter)
    form = OpennessForm(request.POST, adapter=adapter, auto_id="openness_%s")
    if form.is_valid():
        try:
            services.set_visibility(user=request.user, adapter=adapter, **form.cleaned_data)
        except AppError as error:
            show_fault(form, error)
        else:
            messages.success(request, "Saved.")
            return redirect(policy.access_address(adapter))
    return _page(request, adapter, status=422, openness_form=form)


@login_required
@require_POST
def answer(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    """Approve, refuse or revoke: ``asker``, ``decision`` and the words for them."""
    adapter = _adapter(request, owner, name)
    policy.require(request.user, policy.Action.ADMINISTER, adapter)
    decision = request.POST.get("decision", "")

    def decide() -> None:
        if decision not in ("approve", "refuse"):
            raise Invalid("Choose approve or refuse.")
        services.answer_request(
            user=request.user,
            adapter=adapter,
            asker=access_selectors.asker_of(adapter, request.POST.get("asker", "")),
            approve=decision == "approve",
            answer=request.POST.get("answer", ""),
        )

    return _done(request, adapter, "Answered.", decide)


@login_required
@require_POST
def collaborators(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    """Add somebody: ``username`` and ``role``."""
    adapter = _adapter(request, owner, name)
    policy.require(request.user, policy.Action.ADMINISTER, adapter)
    form = CollaboratorForm(request.POST, auto_id="collaborator_%s")
    if form.is_valid():
        try:
            spend(request, LetterThrottle)
            services.add_collaborator(user=request.user, adapter=adapter, **form.cleaned_data)
        except AppError as error:
            show_fault(form, error)
        else:
            messages.success(request, f"{form.cleaned_data['username']} works on it now.")
            return redirect(policy.access_address(adapter))
    return _page(request, adapter, status=422, collaborator_form=form)


@login_required
@require_POST
def collaborator(request: HttpRequest, owner: str, name: str, username: str) -> HttpResponse:
    """Another ``role`` for a collaborator; without one they are removed, or leave."""
    adapter = _adapter(request, owner, name)
    role = request.POST.get("role", "")

    def change() -> None:
        arguments = {"user": request.user, "adapter": adapter, "username": username}
        if role:
            services.change_collaborator(**arguments, role=role)
        else:
            services.remove_collaborator(**arguments)

    return _done(request, adapter, "Saved." if role else f"{username} works on it no more.", change)


def _done(request: HttpRequest, adapter: Adapter, words: str, act: Callable[[], Any]) -> HttpResponse:
    """Act and say so; when it has changed meanwhile, the page says that. Back to where the asker still may be."""
    try:
        act()
    except AppError as error:
        if error.status in (403, 404):
            raise
        messages.error(request, error.message)
    else:
        messages.success(request, words)
    return redirect(policy.access_address(adapter) if policy.may_view(request.user, adapter) else "account")
