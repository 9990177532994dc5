"""The combine page: one form that travels with every request, so that it works without scripts."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from inference_worker.contracts.merge_methods import METHODS
from inference_worker.contracts.merge_preview import MAX_PROMPTS
from marketplace.accounts.throttling import MergeThrottle, VerdictThrottle, spend
from marketplace.adapters.models import Adapter, Artifact
from marketplace.catalog import selectors as catalog
from marketplace.catalog.types import CatalogFilters
from marketplace.compositions import services
from marketplace.compositions.forms import CombineForm, dtype_choices, rank_rules, read_form, share_of
from marketplace.compositions.lab import previews, sweeps
from marketplace.compositions.lab.again import fields_of
from marketplace.compositions.lab.forms import LabForm, read_lab, suggested_prompts, suite_choices, sweep_arguments
from marketplace.compositions.method_groups import method_groups
from marketplace.compositions.option_fields import option_fields
from marketplace.compositions.output_fields import SHARES
from marketplace.core.errors import AppError
from marketplace.core.pages import address_of, without_token
from marketplace.jobs.models import Job

_CANDIDATES = 8
#: With a tray that could be merged, the list steps back behind the method.
_FEW_CANDIDATES = 4
#: Characters of an address that browsers, proxies and servers are sure to take; with more the page keeps its own.
_LONGEST_ADDRESS = 2000


@require_http_methods(["GET", "HEAD", "POST"])
def combine(request: HttpRequest) -> HttpResponse:
    clean = without_token(request)
    if clean is not None:
        return redirect(clean)
    if request.method == "POST":
        return _start(request, "", lambda form, lab: services.create_merge(user=request.user, **form.arguments()))
    if {"with", "add", "trial"} & request.GET.keys():
        spend(request, VerdictThrottle)
    data = request.GET
    if trial := data.get("trial"):
        data = fields_of(user=request.user, trial=trial, point=data.get("point", ""))
    return _page(request, data)


@require_http_methods(["POST"])
def update(request: HttpRequest) -> HttpResponse:
    """The form as it is written, judged anew: what the page sends while somebody changes it, and what buttons send that
    change it. Many members with weights by layers are more than an address may hold, so they come in the body."""
    address = address_of(reverse("combine"), request.POST)
    short = len(address) <= _LONGEST_ADDRESS
    if short and "HX-Request" not in request.headers:
        return redirect(address)
    spend(request, VerdictThrottle)
    response = _page(request, request.POST)
    response["HX-Push-Url"] = address if short else "false"
    return response


def _page(request: HttpRequest, data: QueryDict | dict[str, Any]) -> HttpResponse:
    form = read_form(request.user, data)
    if form.rank_rule in SHARES:
        # Another method was chosen, which keeps the other kind of share; the page shows it.
        form.rank_rule = share_of(form.method)
    return render(request, "compositions/combine.html", combine_context(request, form, read_lab(data)))


@require_http_methods(["POST"])
def preview(request: HttpRequest) -> HttpResponse:
    """Try the merge on prompts."""

    def create(form: CombineForm, lab: LabForm) -> Job:
        return previews.create_preview(user=request.user, prompts=lab.prompts, **form.settings())

    return _start(request, "preview", create)


@require_http_methods(["POST"])
def sweep(request: HttpRequest) -> HttpResponse:
    """Measure a grid of settings."""

    def create(form: CombineForm, lab: LabForm) -> Job:
        return sweeps.create_sweep(user=request.user, **sweep_arguments(form, lab), **form.settings())

    return _start(request, "sweep", create)


#: Kind of job → the page that follows it.
PAGES = {previews.PREVIEW: "merge-preview", previews.SWEEP: "merge-sweep"}


def _start(request: HttpRequest, opened: str, create: Callable[[CombineForm, LabForm], Job]) -> HttpResponse:
    """Create what the form asks for and go there; with faults, the page again with what was written."""
    form, lab = read_form(request.user, request.POST), read_lab(request.POST, opened)
    spend(request, MergeThrottle)
    try:
        job = create(form, lab)
    except AppError as error:
        form.fault(error)
        return render(request, "compositions/combine.html", combine_context(request, form, lab), status=422)
    return redirect(PAGES.get(job.kind, "job"), job.pk)


def combine_context(request: HttpRequest, form: CombineForm, lab: LabForm) -> dict[str, Any]:
    """What the combine page shows. ``file`` keeps the text of a file that was sent, and the name for its result."""
    verdict, caveats = None, []
    if form.members:
        try:
            members = form.weights()
            verdict = services.plan_verdict(user=request.user, members=members, layer_weights=form.factors())
            caveats = services.plan_caveats(
                user=request.user, members=members, method=form.method, options=form.options
            )
        except AppError as error:
            form.fault(error)
    data = request.POST if request.method == "POST" else request.GET
    query = data.get("q", "").strip()
    info = METHODS[form.method]
    chosen = [member.adapter for member in form.members]
    ranks = verdict["ranks"] if verdict else [member_rank(adapter) for adapter in chosen]
    prompts = lab.prompts or suggested_prompts(request.user, form)
    return {
        "form": form,
        "verdict": verdict,
        "caveats": caveats,
        "groups": method_groups(),
        "info": info,
        "options": option_fields(info.options, form.options),
        "dtypes": dtype_choices(),
        "rank_rules": rank_rules(form.method),
        "share": share_of(form.method),
        "written": _more_written(form),
        "searched": query,
        "candidates": candidates(request.user, query, chosen),
        "suggested_rank": sum(ranks) if info.rank == "sum" else max(ranks, default=8),
        "suggested_name": _name_for(form),
        "lab": lab,
        "prompts": [*prompts, *[""] * (MAX_PROMPTS - len(prompts))],
        "suites": suite_choices(request.user, chosen[0].base if chosen else None),
        "key": form.key or secrets.token_urlsafe(12),
        "errors": form.faults,
        "file": {},
        "update": reverse("combine-update"),
    }


def _more_written(form: CombineForm) -> bool:
    """Whether the folded fields of what is written hold anything, or a fault."""
    fields = (form.ranks, form.include, form.exclude, form.rotate, form.seed not in ("", "0"))
    return any(fields) or bool({"ranks", "include", "exclude", "seed"} & form.faults.keys())


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
    """The list of candidates alone, while somebody types (combine, where ``update`` is asked for, and playground)."""
    form = read_form(request.user, request.GET)
    chosen = [member.adapter for member in form.members]
    context: dict[str, Any] = {"candidates": candidates(request.user, request.GET.get("q", "").strip(), chosen)}
    if "update" in request.GET:
        context["update"] = reverse("combine-update")
    return render(request, "compositions/candidates.html", context)
