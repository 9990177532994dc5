"""The heart on an adapter's page."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from marketplace.adapters.selectors import get_adapter
from marketplace.likes import services


@login_required
@require_POST
def like(request: HttpRequest, owner: str, name: str) -> HttpResponse:
    """``likes`` 1 or 0."""
    adapter = get_adapter(user=request.user, owner=owner, name=name)
    services.set_like(user=request.user, adapter=adapter, likes=request.POST.get("likes") == "1")
    return redirect(adapter)
