"""What an owner does with an adapter, and reports by everybody."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from marketplace import policy
from marketplace.accounts.throttling import ReportThrottle, spend
from marketplace.adapters import selectors, services
from marketplace.adapters.forms import EditForm, ReportForm, card_initial
from marketplace.adapters.models import Adapter
from marketplace.core.errors import AppError
from marketplace.core.forms import show_fault
from marketplace.moderation import services as moderation


def own_adapter(request: HttpRequest, owner: str, name: str, action: policy.Action = policy.Action.EDIT) -> Adapter:
    """The adapter, when the asker may do ``action`` with it."""
    adapter = selectors.get_adapter(user=request.user, owner=owner, name=name)
    policy.require(request.user, action, adapter)
    return adapter


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    adapter = own_adapter(request, owner, name)
    initial = card_initial(adapter)
    form = EditForm(
        request.POST or None,
        initial=initial,
        private_reason=adapter.private_reason,
        relicense=policy.may_relicense(adapter),
        administers=policy.may_administer(request.user, adapter),
    )
    if request.method == "POST" and form.is_valid():
        try:
            services.edit_adapter(
                user=request.user,
                adapter=adapter,
                **form.said(),
                visibility=form.cleaned_data.get("visibility"),
                message=form.cleaned_data["message"],
            )
        except AppError as error:
            show_fault(form, error, prompt_format="template")
        else:
            messages.success(request, "Saved.")
            return redirect(adapter.get_absolute_url())
    status = 422 if request.method == "POST" else 200
    return render(request, "adapters/edit.html", {"adapter": adapter, "form": form}, status=status)


@login_required
@require_POST
def visibility(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    adapter = own_adapter(request, owner, name, policy.Action.ADMINISTER)
    services.set_visibility(user=request.user, adapter=adapter, visibility=request.POST.get("visibility", ""))
    return redirect(adapter.get_absolute_url())


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def delete(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    """Asks once; the page's dialog and this page post the same form."""
    adapter = own_adapter(request, owner, name, policy.Action.ADMINISTER)
    if request.method == "POST":
        services.delete_adapter(user=request.user, adapter=adapter)
        messages.success(request, f"{adapter.full_name} is deleted.")
        return redirect("account")
    return render(request, "adapters/delete.html", {"adapter": adapter})


@require_http_methods(["GET", "HEAD", "POST"])
def report(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    adapter = selectors.get_adapter(user=request.user, owner=owner, name=name)
    form = ReportForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            spend(request, ReportThrottle)
            moderation.report_adapter(
                user=request.user if request.user.is_authenticated else None, adapter=adapter, **form.cleaned_data
            )
        except AppError as error:
            show_fault(form, error)
        else:
            messages.success(request, "Thank you. A moderator will look at it.")
            return redirect(adapter.get_absolute_url())
    status = 422 if request.method == "POST" else 200
    return render(request, "adapters/report.html", {"adapter": adapter, "form": form}, status=status)
