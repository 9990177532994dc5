"""How weights are written."""

from __future__ import annotations

from django import template

register = template.Library()


@register.filter
def weight(value: float) -> str:
    """``0.5``, ``−2``, with the typographic minus."""
    return f"{value:g}".replace("-", "−")
