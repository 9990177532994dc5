"""Pages of previews, sweeps and recipes."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from inference_worker.contracts.merge import MergeRequest
from inference_worker.contracts.merge_methods import METHODS
from marketplace.accounts.throttling import MergeThrottle, spend
from marketplace.adapters.selectors import get_adapter, recipe_of
from marketplace.compositions.forms import parameters_of, read_form
from marketplace.compositions.lab import files, previews, recipes, sweeps
from marketplace.compositions.lab.again import address_of, members_of
from marketplace.compositions.lab.forms import read_lab
from marketplace.compositions.lab.job_examples import EXAMPLES
from marketplace.compositions.lab.sweep_chart import chart_of, table_of
from marketplace.compositions.members import Choice
from marketplace.compositions.views import combine_context
from marketplace.core.errors import AppError, Conflict, NotFound
from marketplace.jobs import selectors as jobs
from marketplace.jobs.models import Job


@login_required
@require_safe
def preview_page(request: HttpRequest, preview_id: str) -> HttpResponse:
    job = previews.get_trial(user=request.user, job_id=preview_id, kind=previews.PREVIEW)
    merge = MergeRequest.model_validate(job.request["merge"])
    context = {
        **_shared(request, job, merge),
        "rows": previews.rows_of(job),
        "columns": (job.result or {}).get("columns"),
    }
    return render(request, "compositions/preview.html", context)


@login_required
@require_safe
def sweep_page(request: HttpRequest, sweep_id: str) -> HttpResponse:
    job = previews.get_trial(user=request.user, job_id=sweep_id, kind=previews.SWEEP)
    merges = [MergeRequest.model_validate(point["merge"]) for point in job.request["points"]]
    result = sweeps.result_of(job)
    shared = _shared(request, job, merges[0])
    table = table_of(result) if result else None
    if table:
        for row in table.rows:
            row.save = address_of(job, row.position) if row.kind == "point" else ""
    context = {
        **shared,
        "suite": job.request["suite"],
        # Once a sweep has ended, only their number is kept.
        "asked": job.subject.get(EXAMPLES) or len(job.request["suite"]["examples"]),
        "table": table,
        "chart": chart_of(result, [point["label"] for point in job.request["points"]]) if result else None,
        "highest": parameters_of(merges[table.highest.position], shared["members"])
        if table and table.highest
        else None,
        "total": len(merges),
        "of_parents": job.subject.get(sweeps.SUITE) == sweeps.PARENTS,
        "ensemble": table is not None and any(row.kind == "ensemble" and row.value for row in table.rows),
    }
    return render(request, "compositions/sweep.html", context)


def _shared(request: HttpRequest, job: Job, merge: MergeRequest) -> dict[str, Any]:
    """What both pages show: the job, the adapters as they are called now, and the form's fields to go on with."""
    members = members_of(request.user, job, merge)
    return {
        "job": job,
        "state": jobs.full_state(job),
        "info": METHODS.get(merge.method),
        "merge": merge,
        "members": members,
        "complete": bool(members),
        "changed": [m.adapter.full_name for m in members if m.version and m.adapter.current_id != m.version.pk],
        "parameters": parameters_of(merge, members),
        "settings_url": address_of(job),
    }


@require_safe
def recipe_file(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    """``recipe.json`` of the current version. Parents that the reader may not see have no name in it."""
    adapter = get_adapter(user=request.user, owner=owner, name=name)
    recipe = recipe_of(user=request.user, adapter=adapter)
    if not recipe:
        raise NotFound(f"{adapter.full_name} has no recipe.")
    response = HttpResponse(json.dumps(recipe, indent=2, ensure_ascii=False), content_type="application/json")
    response["Content-Disposition"] = f'attachment; filename="{adapter.name}-recipe.json"'
    return response


@require_safe
def mergekit_file(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    """The recipe as a mergekit file; what mergekit cannot do is said on the adapter's page."""
    adapter = get_adapter(user=request.user, owner=owner, name=name)
    try:
        text = files.mergekit_of(user=request.user, adapter=adapter)
    except Conflict as error:
        messages.error(request, error.message)
        return redirect(adapter.get_absolute_url())
    response = HttpResponse(text, content_type="application/yaml")
    response["Content-Disposition"] = f'attachment; filename="{adapter.name}-mergekit.yaml"'
    return response


@login_required
@require_POST
def from_file(request: HttpRequest) -> HttpResponse:
    """Make the merge that a recipe or a mergekit file describes, or fill the combine page's form from it.

    The form takes current versions, and methods that learn learn again; only making it follows a recipe to the letter.
    """
    spend(request, MergeThrottle)
    text, name = request.POST.get("text", ""), request.POST.get("name", "").strip()
    try:
        found = files.plan_file(user=request.user, data=text.encode())
        if "make" in request.POST:
            key = request.POST.get("key", "")[:90]
            job = recipes.create_planned_merge(
                user=request.user, plan=found.plan, name=name, idempotency_key=f"{key}-file" if key else None
            )
            return redirect("job", job_id=job.pk)
    except AppError as error:
        messages.error(request, error.message)
        return _filled(request, QueryDict(), text, name, status=422)
    for note in [*found.notes, *files.changes_of(found.plan)]:
        messages.warning(request, note)
    members = [Choice(member.adapter, member.weight) for member in found.plan.members]
    return _filled(request, QueryDict(urlencode(parameters_of(found.plan.request, members))), text, name)


def _filled(request: HttpRequest, fields: QueryDict, text: str, name: str, status: int = 200) -> HttpResponse:
    """The combine page with ``fields``, which may be too many for an address, and the file as it was sent."""
    context = combine_context(request, read_form(request.user, fields), read_lab(fields))
    return render(
        request, "compositions/combine.html", {**context, "file": {"text": text, "name": name}}, status=status
    )


@login_required
@require_POST
def replay(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    """“Merge again”."""
    adapter = get_adapter(user=request.user, owner=owner, name=name)
    spend(request, MergeThrottle)
    try:
        job = recipes.replay_merge(user=request.user, adapter=adapter)
    except AppError as error:
        messages.error(request, error.message)
        return redirect(adapter.get_absolute_url())
    return redirect("job", job_id=job.pk)
