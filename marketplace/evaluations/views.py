"""Pages of evaluations and suites."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from marketplace import policy
from marketplace.accounts.throttling import EvaluateThrottle, spend
from marketplace.adapters.models import Adapter
from marketplace.adapters.selectors import get_adapter
from marketplace.adapters.uploads.handler import received_files, receiving
from marketplace.core.errors import AppError, Forbidden, Invalid, NotFound
from marketplace.core.forms import show_fault
from marketplace.core.pagination import keyset_page
from marketplace.evaluations import hiding, selectors, suite_services
from marketplace.evaluations.asking import ask_for_evaluation
from marketplace.evaluations.examples import beside
from marketplace.evaluations.forms import HideForm, RunForm, SuiteEditForm, SuiteForm
from marketplace.evaluations.models import EvaluationRun
from marketplace.evaluations.reports import report_of
from marketplace.evaluations.standing import why_not_run

_SHOWN_LINES = 20
_SHOWN_RUNS = 50


def measured(request: HttpRequest, adapter: Adapter) -> dict[str, Any]:
    """What the adapter's page and the page of its evaluations show alike."""
    rights = policy.rights(request.user, adapter)
    return {
        "adapter": adapter,
        "report": report_of(request.user, adapter),
        "why_not": why_not_run(adapter),
        "has_answers": adapter.examples.exclude(expected="").exists(),
        "may_evaluate": policy.Action.EDIT in rights,
        "may_hide": policy.Action.ADMINISTER in rights,
        "may_run": policy.is_known(request.user) and policy.Action.USE in rights,
    }


@require_safe
def evaluations_page(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    """Everything that was measured of the current version, and the form to run it on a suite."""
    adapter = get_adapter(user=request.user, owner=owner, name=name)
    context = measured(request, adapter)
    if context["may_run"] and adapter.base is not None:
        context["suites"] = selectors.suites_for(request.user, adapter.base)
    return render(request, "evaluations/evaluations.html", context)


@login_required
@require_POST
def run(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    """Start an evaluation and follow its job; what speaks against it is said on the page."""
    adapter = get_adapter(user=request.user, owner=owner, name=name)
    form = RunForm(request.POST)
    suite = form.cleaned_data["suite"] if form.is_valid() else None
    try:
        spend(request, EvaluateThrottle)
        found = ask_for_evaluation(user=request.user, adapter=adapter, suite_id=suite, again="again" in request.POST)
    except (Forbidden, NotFound):
        raise
    except AppError as error:
        messages.error(request, error.message)
        return redirect("adapter-evaluations", adapter.owner.username, adapter.name)
    job = next((row.job for row in found if row.job is not None), None)
    if job is not None and not job.has_ended and policy.owns(request.user, job):
        return redirect("job", job_id=job.pk)
    waits = any(row.state == EvaluationRun.State.WAITING for row in found)
    messages.info(request, "It is being evaluated." if waits else "This was measured before; here it is.")
    return redirect("adapter-evaluations", adapter.owner.username, adapter.name)


@login_required
@require_POST
def hide(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    """Hide a result on a suite of somebody's, or show it again; back to the results."""
    adapter = get_adapter(user=request.user, owner=owner, name=name)
    policy.require(request.user, policy.Action.ADMINISTER, adapter)
    form = HideForm(request.POST)
    try:
        if not form.is_valid():
            raise Invalid("Say which suite’s result.")
        change = hiding.hide_result if form.cleaned_data["hidden"] else hiding.show_result
        change(user=request.user, adapter=adapter, suite_id=form.cleaned_data["suite"])
    except AppError as error:
        messages.error(request, error.message)
    else:
        messages.success(request, "It is hidden." if form.cleaned_data["hidden"] else "Everybody sees it again.")
    return redirect("adapter-evaluations", adapter.owner.username, adapter.name)


@require_safe
def run_page(request: HttpRequest, owner: str, name: str, run_id: str) -> HttpResponse:
    """One run, example by example, beside the bare base."""
    adapter = get_adapter(user=request.user, owner=owner, name=name)
    found = selectors.get_run(user=request.user, adapter=adapter, run_id=run_id)
    shown = beside(user=request.user, adapter=adapter, before=found.against, after=found)
    return render(request, "evaluations/run.html", {"adapter": adapter, "run": found, "shown": shown})


@require_safe
def suites_page(request: HttpRequest) -> HttpResponse:
    page = keyset_page(
        selectors.suites_seen(request.user), order=("-created_at", "-id"), cursor=request.GET.get("cursor") or None
    )
    rows = [(suite, policy.owns(request.user, suite)) for suite in page.items]
    return render(request, "evaluations/suites.html", {"rows": rows, "next_cursor": page.next_cursor})


@require_safe
def suite_page(request: HttpRequest, suite_id: str) -> HttpResponse:
    suite = selectors.get_suite(user=request.user, suite_id=suite_id)
    own = policy.owns(request.user, suite)
    context = {
        "suite": suite,
        "own": own,
        "lines": [line for line, _ in zip(selectors.lines_of(suite), range(_SHOWN_LINES), strict=False)],
        "rows": selectors.runs_on(request.user, suite, limit=_SHOWN_RUNS),
        "unlinked": hiding.adapters_hiding(request.user, suite),
        "form": SuiteEditForm(initial={"name": suite.name, "visibility": suite.visibility}) if own else None,
    }
    return render(request, "evaluations/suite.html", context)


@csrf_exempt
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def suite_new(request: HttpRequest) -> HttpResponse:
    """Exempt on the outside alone: a file's bytes are received before the form's token is read."""
    if request.method != "POST":
        return _suite_form(request, SuiteForm())
    with receiving(request):
        return _create_suite(request)


@csrf_protect
def _create_suite(request: HttpRequest) -> HttpResponse:
    files = received_files(request)
    form = SuiteForm(request.POST)
    if not form.is_valid():
        return _suite_form(request, form, 422)
    data = dict(form.cleaned_data)
    try:
        if files:
            data["lines"] = suite_services.text_of(files[0].read(settings.SUITE_MAX_BYTES + 1))
        spend(request, EvaluateThrottle)
        suite = suite_services.create_suite(user=request.user, **data)
    except AppError as error:
        show_fault(form, error)
        return _suite_form(request, form, error.status)
    messages.success(request, "The suite is there. Run adapters on it from their pages.")
    return redirect(suite)


def _suite_form(request: HttpRequest, form: SuiteForm, status: int = 200) -> HttpResponse:
    limits = {"bytes": settings.SUITE_MAX_BYTES, "examples": settings.SUITE_MAX_EXAMPLES}
    return render(request, "evaluations/suite_new.html", {"form": form, "limits": limits}, status=status)


@login_required
@require_POST
def suite_edit(request: HttpRequest, suite_id: str) -> HttpResponse:
    suite = selectors.get_suite(user=request.user, suite_id=suite_id)
    try:
        changed = suite_services.edit_suite(
            user=request.user,
            suite=suite,
            name=request.POST.get("name", suite.name),
            visibility=request.POST.get("visibility", suite.visibility),
        )
        messages.success(request, "Saved.")
    except (Forbidden, NotFound):
        raise
    except AppError as error:
        messages.error(request, error.message)
        return redirect(suite)
    return redirect(changed)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def suite_delete(request: HttpRequest, suite_id: str) -> HttpResponse:
    suite = selectors.get_suite(user=request.user, suite_id=suite_id)
    if request.method != "POST":
        if not policy.owns(request.user, suite):
            raise Forbidden("Only its owner may change or delete a suite.")
        return render(request, "evaluations/suite_delete.html", {"suite": suite})
    suite_services.delete_suite(user=request.user, suite=suite)
    messages.success(request, f"{suite.name} is deleted, with everything that was measured on it.")
    return redirect("suites")
