"""The combine page: one form that travels with every request, so that it works without scripts."""

from __future__ import annotations

import secrets
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from inference_worker.contracts.merge_methods import METHODS
from marketplace.accounts.throttling import MergeThrottle, spend
from marketplace.adapters.models import Adapter, Artifact
from marketplace.catalog import selectors as catalog
from marketplace.catalog.types import CatalogFilters
from marketplace.compositions import services
from marketplace.compositions.forms import CombineForm, dtype_choices, options_of, read_form
from marketplace.core.errors import AppError
from marketplace.core.pages import without_token

_CANDIDATES = 8
#: With a tray that could be merged, the list steps back behind the method.
_FEW_CANDIDATES = 4


@require_http_methods(["GET", "HEAD", "POST"])
def combine(request: HttpRequest) -> HttpResponse:
    clean = without_token(request)
    if clean is not None:
        return redirect(clean)
    form = read_form(request.user, request.POST if request.method == "POST" else request.GET)
    if request.method == "POST":
        spend(request, MergeThrottle)
        try:
            job = services.create_merge(user=request.user, **form.arguments())
        except AppError as error:
            form.fault(error)
        else:
            return redirect("job", job_id=job.pk)
    status = 422 if request.method == "POST" else 200
    return render(request, "compositions/combine.html", _context(request, form), status=status)


def _context(request: HttpRequest, form: CombineForm) -> dict[str, Any]:
    verdict = None
    if form.members:
        try:
            verdict = services.plan_verdict(user=request.user, members=form.weights())
        except AppError as error:
            form.fault(error)
    data = request.POST if request.method == "POST" else request.GET
    query = data.get("q", "").strip()
    info = METHODS[form.method]
    ranks = verdict["ranks"] if verdict else [member_rank(member.adapter) for member in form.members]
    return {
        "form": form,
        "verdict": verdict,
        "methods": list(METHODS.values()),
        "info": info,
        "options": options_of(form.method, form.options),
        "dtypes": dtype_choices(),
        "query": query,
        "candidates": candidates(request.user, query, [member.adapter for member in form.members]),
        "suggested_rank": max(ranks, default=8) if info.rank == "choose" else sum(ranks),
        "suggested_name": _name_for(form),
        "key": form.key or secrets.token_urlsafe(12),
        "errors": form.faults,
    }


def member_rank(adapter: Adapter) -> int:
    return adapter.current.artifact.rank if adapter.current else 0


def _name_for(form: CombineForm) -> str:
    """A name to begin with; people change it."""
    return "-".join(member.adapter.name for member in form.members[:3])[:60] if len(form.members) > 1 else ""


def candidates(user: Any, query: str, chosen: list[Adapter]) -> list[catalog.SearchHit]:
    """What may be added: of the same base as what is chosen, found by ``query`` or the most used."""
    base = next((adapter.base.name for adapter in chosen if adapter.base), "")
    filters = CatalogFilters(base=base, sort="downloads", limit=_CANDIDATES + len(chosen))
    found = catalog.search(user=user, query=query, filters=filters).results
    return [
        hit
        for hit in found
        if hit.adapter not in chosen
        and hit.adapter.current is not None
        and hit.adapter.current.artifact.state == Artifact.State.VALID
    ][: _CANDIDATES if query or len(chosen) < 2 else _FEW_CANDIDATES]


@require_safe
def pick(request: HttpRequest) -> HttpResponse:
    """The list of candidates alone, while somebody types (combine and playground)."""
    form = read_form(request.user, request.GET)
    chosen = [member.adapter for member in form.members]
    context = {"candidates": candidates(request.user, request.GET.get("q", "").strip(), chosen)}
    return render(request, "compositions/candidates.html", context)
