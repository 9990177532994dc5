"""The heart on an adapter's page."""

from __future__ import annotations

from typing import Any

from django import template

from marketplace.adapters.models import Adapter
from marketplace.likes.selectors import is_liked

register = template.Library()


@register.inclusion_tag("likes/heart.html", takes_context=True)
def like_button(context: dict[str, Any], adapter: Adapter) -> dict[str, Any]:
    user = context["user"]
    return {
        "adapter": adapter,
        "signed_in": user.is_authenticated,
        "liked": is_liked(user=user, adapter=adapter),
        "csrf_token": context.get("csrf_token"),
    }
