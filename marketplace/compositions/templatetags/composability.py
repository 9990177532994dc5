"""The verdict as a part of a page."""

from __future__ import annotations

from typing import Any

from django import template
from django.template.context import Context

from marketplace.compositions.pairs.page import fit_context

register = template.Library()


@register.inclusion_tag("compositions/verdict.html", takes_context=True)
def composability(context: Context) -> dict[str, Any]:
    """How the members of the page's ``form`` go together, and what goes with them."""
    found = fit_context(context["request"].user, context["form"], context.get("verdict"))
    # The methods and the tray, which come after it on the page, say what is predicted of them.
    context["kept"], context["better"] = found.get("kept", {}), found.get("better")
    return found


@register.filter
def as_percent(share: float | None) -> str:
    """0.734 → 73 %; a dash for what is unknown."""
    return "–" if share is None else f"{share * 100:.0f} %"


@register.filter
def mean(values: list[float] | None) -> float | None:
    return sum(values) / len(values) if values else None


@register.filter
def in_state(verdicts: list[dict[str, Any]], state: str) -> list[dict[str, Any]]:
    """The methods of one verdict."""
    return [verdict for verdict in verdicts if verdict["state"] == state]


@register.filter
def size_ratio(norms: list[float]) -> str:
    """How many times as large the first of two changes is as the second."""
    first, second = norms
    return f"{first / second:.2f}" if second else "–"
