"""Pages of bases: everybody reads, staff writes."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from marketplace import policy
from marketplace.adapters.selectors import get_adapter
from marketplace.adapters.services.editing import edit_adapter
from marketplace.bases import selectors, services
from marketplace.bases.aliases import add_alias, remove_alias
from marketplace.bases.forms import AliasForm, ChangeForm, RegisterForm
from marketplace.bases.models import Base
from marketplace.bases.overview import adapters_of, facts_of, groups_of
from marketplace.core.errors import AppError, Forbidden
from marketplace.core.forms import show_fault
from marketplace.core.pagination import keyset_page
from marketplace.jobs import selectors as jobs

PAGE = 30


@require_safe
def base_list(request: HttpRequest) -> HttpResponse:
    query, state = request.GET.get("q", ""), request.GET.get("state", "")
    page = keyset_page(
        selectors.search_bases(query, state),
        order=("name", "id"),
        cursor=request.GET.get("cursor") or None,
        limit=PAGE,
    )
    counts = selectors.count_adapters(page.items, request.user)
    context = {
        "rows": [(base, counts.get(base.pk, 0)) for base in page.items],
        "next_cursor": page.next_cursor,
        "query": query,
        "state": state,
        "states": Base.State.choices,
        "may_register": policy.may_register_bases(request.user),
    }
    return render(request, "bases/bases.html", context)


@require_safe
def base_page(request: HttpRequest, name: str) -> HttpResponse:
    base = selectors.get_base(name=name)
    if request.path != base.get_absolute_url():
        return redirect(base, permanent=True)
    return _page(request, base)


def _page(request: HttpRequest, base: Base, **forms: Any) -> HttpResponse:
    """The base's page, with ``forms`` that have faults in place of fresh ones."""
    writes = policy.may_register_bases(request.user)
    job = services.running_read(base)
    context = {
        "base": base,
        "aliases": selectors.aliases_of(base),
        "facts": facts_of(base.config),
        "groups": groups_of(base.shapes),
        "same": Base.objects.filter(fingerprint=base.fingerprint).exclude(pk=base.pk) if base.fingerprint else [],
        "adapters": adapters_of(request.user, base),
        "writes": writes,
        "job": job,
        "job_mine": job is not None and policy.owns(request.user, job),
        "live": jobs.live_state(job) if job is not None else None,
        "change_form": ChangeForm(base=base),
        "alias_form": AliasForm(),
        **forms,
    }
    return render(request, "bases/base.html", context, status=422 if forms else 200)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def register(request: HttpRequest) -> HttpResponse:
    _staff(request)
    form = RegisterForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            base = services.register_base(actor=request.user, **form.said())  # type: ignore[arg-type]
        except AppError as error:
            show_fault(form, error)
        else:
            messages.success(request, f"{base.name} is registered.")
            return redirect(base)
    return render(request, "bases/register.html", {"form": form}, status=422 if request.method == "POST" else 200)


@login_required
@require_POST
def change(request: HttpRequest, name: str) -> HttpResponse:
    _staff(request)
    base = selectors.get_base(name=name)
    form = ChangeForm(request.POST, base=base)
    if form.is_valid():
        data = form.cleaned_data
        try:
            services.change_base(
                actor=request.user,  # type: ignore[arg-type]
                base=base,
                license=data["license"],
                parent=data["parent"],
                served=data["served"],
                orphan=data["parent"] is None,
            )
        except AppError as error:
            show_fault(form, error)
        else:
            messages.success(request, "Saved.")
            return redirect(base)
    return _page(request, base, change_form=form)


@login_required
@require_POST
def aliases(request: HttpRequest, name: str) -> HttpResponse:
    """Adds ``alias``, or takes ``remove`` away."""
    _staff(request)
    base = selectors.get_base(name=name)
    if removed := request.POST.get("remove", ""):
        remove_alias(actor=request.user, base=base, alias=removed)  # type: ignore[arg-type]
        messages.success(request, f"{removed} no longer means {base.name}.")
        return redirect(base)
    form = AliasForm(request.POST)
    if form.is_valid():
        try:
            row = add_alias(actor=request.user, base=base, alias=form.cleaned_data["alias"])  # type: ignore[arg-type]
        except AppError as error:
            show_fault(form, error)
        else:
            messages.success(request, f"{row.alias} means {base.name} now.")
            return redirect(base)
    return _page(request, base, alias_form=form)


@login_required
@require_POST
def reread(request: HttpRequest, name: str) -> HttpResponse:
    _staff(request)
    base = selectors.get_base(name=name)
    try:
        services.reread_base(actor=request.user, base=base)  # type: ignore[arg-type]
    except AppError as error:
        messages.error(request, error.message)
    return redirect(base)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def delete(request: HttpRequest, name: str) -> HttpResponse:
    """Asks once, then deletes."""
    _staff(request)
    base = selectors.get_base(name=name)
    if request.method == "POST":
        try:
            services.delete_base(actor=request.user, base=base)  # type: ignore[arg-type]
        except AppError as error:
            messages.error(request, error.message)
            return redirect(base)
        messages.success(request, f"{base.name} is deleted.")
        return redirect("bases")
    return render(request, "bases/delete.html", {"base": base})


def _staff(request: HttpRequest) -> None:
    if not policy.may_register_bases(request.user):
        raise Forbidden("Only staff may register and change bases.")


@login_required
@require_POST
def answer(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    """Which base an adapter is of, by whoever may edit it."""
    adapter = get_adapter(user=request.user, owner=owner, name=name)
    try:
        edit_adapter(user=request.user, adapter=adapter, base=request.POST.get("base", "")[:200])  # type: ignore[arg-type]
    except AppError as error:
        messages.error(request, error.message)
    else:
        messages.success(request, "The base is saved.")
    return redirect(adapter.get_absolute_url())
