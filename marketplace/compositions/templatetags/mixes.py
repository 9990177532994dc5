"""How weights and results are written."""

from __future__ import annotations

from typing import Any

from django import template

register = template.Library()


@register.filter
def weight(value: float) -> str:
    """``0.5``, ``−2``, with the typographic minus."""
    return f"{value:g}".replace("-", "−")


@register.filter
def estimate(value: dict[str, Any] | None) -> str:
    """``85 % (70 to 95)``: the value with its 95 % interval."""
    if not value:
        return ""
    return f"{_whole(value['value'])} % ({_whole(value['low'])} to {_whole(value['high'])})"


@register.filter
def points(difference: dict[str, Any]) -> str:
    """``+75 points (60 to 90)``: a paired difference with its 95 % interval."""
    sign = "+" if difference["value"] > 0 else ""
    return f"{sign}{_whole(difference['value'])} points ({_whole(difference['low'])} to {_whole(difference['high'])})"


def _whole(share: float) -> str:
    return f"{round(100 * share)}".replace("-", "−")
