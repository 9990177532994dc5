"""Pages of saved compositions."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from marketplace import policy
from marketplace.accounts.throttling import EvaluateThrottle, MergeThrottle, spend
from marketplace.compositions import mixes
from marketplace.compositions.mix_forms import MixForm, read_mix_form
from marketplace.compositions.mix_pages import detail_of
from marketplace.compositions.mix_runs import evaluate_by_itself, evaluate_mix, results_of, runs_of_mix
from marketplace.compositions.mix_selectors import get_mix, listed_mixes
from marketplace.compositions.models import Composition
from marketplace.compositions.views import candidates
from marketplace.core.errors import AppError
from marketplace.core.pages import without_token
from marketplace.core.pagination import keyset_page
from marketplace.evaluations.models import EvaluationRun

PAGE = 30


@require_safe
def mix_list(request: HttpRequest) -> HttpResponse:
    owner = request.GET.get("owner", "")
    page = keyset_page(
        listed_mixes(request.user, owner=owner),
        order=("-updated_at", "-id"),
        cursor=request.GET.get("cursor") or None,
        limit=PAGE,
    )
    context = {"mixes": page.items, "next_cursor": page.next_cursor, "owner": owner}
    return render(request, "compositions/mixes.html", context)


@require_safe
def mix_page(request: HttpRequest, owner: str, mix: str) -> HttpResponse:
    found = get_mix(user=request.user, owner=owner, name=mix)
    if request.path != found.get_absolute_url():
        return redirect(found, permanent=True)
    runs = runs_of_mix(user=request.user, mix=found)
    context = {
        "mix": found,
        "shown": detail_of(user=request.user, mix=found),
        "own": policy.owns(request.user, found),
        "results": results_of(runs),
        "waits": any(run.state == EvaluationRun.State.WAITING for run in runs),
        "may_evaluate": not runs or any(run.state == EvaluationRun.State.FAILED for run in runs),
        "site_url": settings.SITE_URL,
    }
    return render(request, "compositions/mix.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def mix_new(request: HttpRequest) -> HttpResponse:
    """Save a mix; the combine page links here with the members that it shows."""
    clean = without_token(request)
    if clean is not None:
        return redirect(clean)
    form = read_mix_form(request.user, request.POST if request.method == "POST" else request.GET)
    if request.method == "POST":
        spend(request, MergeThrottle)
        mix = _saved(request, form, None)
        if mix is not None:
            return redirect(mix)
    return _form_page(request, form, None)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def mix_edit(request: HttpRequest, owner: str, mix: str) -> HttpResponse:
    clean = without_token(request)
    if clean is not None:
        return redirect(clean)
    found = get_mix(user=request.user, owner=owner, name=mix)
    mixes.check_own(request.user, found)
    form = read_mix_form(request.user, request.POST if request.method == "POST" else request.GET, found)
    if request.method == "POST":
        spend(request, MergeThrottle)
        saved = _saved(request, form, found)
        if saved is not None:
            messages.success(request, "Saved.")
            return redirect(saved)
    return _form_page(request, form, found)


@login_required
@require_POST
def mix_evaluate(request: HttpRequest, owner: str, mix: str) -> HttpResponse:
    """Run the mix as it is now; what was measured already is found."""
    found = get_mix(user=request.user, owner=owner, name=mix)
    spend(request, EvaluateThrottle)
    try:
        evaluate_mix(user=request.user, mix=found, asked=True)
    except AppError as error:
        messages.error(request, error.message)
    return redirect(found)


def _saved(request: HttpRequest, form: MixForm, mix: Composition | None) -> Composition | None:
    """The mix as the form says; None with the faults in the form."""
    members = form.choices()
    if form.faults:
        return None
    said: dict[str, Any] = {
        "user": request.user,
        "members": members,
        "visibility": form.visibility,
        "description": form.description,
    }
    try:
        saved = mixes.edit_mix(mix=mix, **said) if mix else mixes.create_mix(name=form.name, **said)
    except AppError as error:
        form.fault(error)
        return None
    evaluate_by_itself(saved)
    return saved


def _form_page(request: HttpRequest, form: MixForm, mix: Composition | None) -> HttpResponse:
    data = request.POST if request.method == "POST" else request.GET
    query = data.get("q", "").strip()
    adapters = [row.adapter for row in form.rows]
    context = {
        "form": form,
        "mix": mix,
        "errors": form.faults,
        "query": query,
        "candidates": candidates(request.user, query, adapters),
        "suggested_name": "-".join(adapter.name for adapter in adapters[:3])[:60],
        "visibilities": Composition.Visibility.choices,
        "room": len(adapters) < mixes.MAX_MEMBERS,
    }
    return render(request, "compositions/mix_form.html", context, status=422 if request.method == "POST" else 200)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def mix_delete(request: HttpRequest, owner: str, mix: str) -> HttpResponse:
    found = get_mix(user=request.user, owner=owner, name=mix)
    mixes.check_own(request.user, found)
    if request.method == "POST":
        name = found.full_name
        mixes.delete_mix(user=request.user, mix=found)
        messages.success(request, f"{name} is deleted.")
        return redirect("mixes")
    return render(request, "compositions/mix_delete.html", {"mix": found})
