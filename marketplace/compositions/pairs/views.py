"""The verdict on the combine page: its own part of the page, so that it can be asked for alone."""

from __future__ import annotations

from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from marketplace.accounts.throttling import MergeThrottle, VerdictThrottle, spend
from marketplace.compositions.forms import CombineForm, read_form
from marketplace.compositions.members import resolve_members
from marketplace.compositions.pairs import services
from marketplace.compositions.pairs.page import fit_context, members_query
from marketplace.compositions.pairs.partners import compare_with_candidates
from marketplace.compositions.pairs.selectors import is_running
from marketplace.core.errors import AppError, NotAuthenticated

_TEMPLATE = "compositions/verdict_answer.html"


@require_safe
def fit(request: HttpRequest) -> HttpResponse:
    """The verdict on the members of the address (``with`` and ``weight``), for the page that waits for it.

    While the comparison ``job`` goes on there is nothing new (204), so what is open on the page stays open.
    """
    if is_running(request.user, request.GET.get("job", "")):
        return HttpResponse(status=204)
    spend(request, VerdictThrottle)
    return render(request, _TEMPLATE, fit_context(request.user, read_form(request.user, request.GET)))


@require_POST
def compare(request: HttpRequest) -> HttpResponse:
    """Have the members compared with each other, or with ``partners`` with candidates that go with them."""
    form = read_form(request.user, request.POST)
    spend(request, MergeThrottle)
    fault = ""
    try:
        if request.POST.get("compare") == "partners":
            compare_with_candidates(
                user=request.user, members=resolve_members(user=request.user, members=form.weights())
            )
        else:
            services.request_comparison(user=request.user, members=form.weights())
    except NotAuthenticated:
        address = _page(form)
        return redirect(f"{reverse('account_login')}?{urlencode({'next': address})}")
    except AppError as error:
        fault = error.message
    if request.headers.get("HX-Request") == "true":
        return render(request, _TEMPLATE, {**fit_context(request.user, form), "fit_fault": fault})
    if fault:
        messages.error(request, fault)
    return redirect(_page(form))


def _page(form: CombineForm) -> str:
    return f"{reverse('combine')}?{members_query(form)}#fit"
