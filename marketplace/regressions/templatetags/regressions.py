"""The control “Re-evaluate regularly” for pages of adapters and mixes."""

from __future__ import annotations

from typing import Any

from django import template

from marketplace.regressions.models import Watch
from marketplace.regressions.selectors import watch_on

register = template.Library()


@register.inclusion_tag("regressions/control.html", takes_context=True)
def watch_control(context: dict[str, Any], subject: Any) -> dict[str, Any]:
    """Nothing for people who are not signed in."""
    user = context["user"]
    return {
        "subject": subject,
        "watch": watch_on(user, subject) if user.is_authenticated else None,
        "signed_in": user.is_authenticated,
        "choices": Watch.Every.choices,
        "csrf_token": context.get("csrf_token"),
    }
