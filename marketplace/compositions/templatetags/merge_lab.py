"""Filters of the merge lab's pages."""

from __future__ import annotations

from django import template

register = template.Library()


@register.filter
def share(value: float | str | None) -> str:
    """A share of one: ``88 %``; unknown is not zero."""
    return "unknown" if value in (None, "") else f"{100 * float(value or 0):.0f} %"


@register.filter
def words(text: str) -> list[str]:
    """``"a b"`` as a list, for loops over a few names."""
    return text.split()
