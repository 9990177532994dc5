"""What every page's header shows, and the account page's choice of letters."""

from __future__ import annotations

from typing import Any

from django import template

from marketplace.notifications import selectors
from marketplace.notifications.models import Kind

register = template.Library()


@register.simple_tag
def unread_notifications(user: Any) -> int:
    return selectors.count_unread(user)


@register.simple_tag
def letter_choices(user: Any) -> list[tuple[str, str, bool]]:
    """(kind, its words, whether letters of it are wanted)."""
    chosen = selectors.letters_of(user)
    return [(kind, label, chosen[kind]) for kind, label in Kind.choices]
