"""Template tags: the brick, sizes, counts, Markdown."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from typing import Any

from django import template
from django.conf import settings
from django.utils.safestring import SafeString, mark_safe

from marketplace.core.glyph import brick_svg
from marketplace.core.markdown import render_markdown

register = template.Library()

_UNITS = ("B", "kB", "MB", "GB", "TB")


@register.simple_tag
def brick(adapter: Any, size: int = 56, label: str = "") -> SafeString:
    """The glyph of an adapter (``accounts``-free: anything with ``base``, ``base_name``, ``origin``, ``current``)."""
    version = adapter.current
    artifact = version.artifact if version is not None else None
    signature = artifact.signature if artifact is not None else None
    merged = adapter.origin == "merge"
    parents = (version.recipe or {}).get("parents", []) if merged and version is not None else []
    svg = brick_svg(
        family=adapter.base.name if adapter.base is not None else "",
        rank=artifact.rank if artifact is not None else 0,
        signature=list(signature) if signature is not None else None,
        courses=max(2, len(parents)) if merged else 1,
        size=size,
        label=label,
    )
    # Built from numbers and escaped words alone.
    return mark_safe(svg)  # noqa: S308


@register.simple_tag
def restore_days() -> int:
    """How long deleted adapters can be brought back."""
    return int(settings.RESTORE_DAYS)


@register.simple_tag
def base_brick(name: str, rank: int = 8, size: int = 56) -> SafeString:
    """A plain brick in a base's colour, for headings about the base itself."""
    return mark_safe(brick_svg(family=name, rank=rank, size=size))  # noqa: S308


@register.filter
def size(value: int | float | None) -> str:
    """Bytes with their unit, in powers of 1000: ``1.3 MB``."""
    if value is None:
        return "unknown"
    number = float(value)
    for unit in _UNITS:
        if number < 999.5 or unit == _UNITS[-1]:
            return f"{number:.0f} {unit}" if unit == "B" or number >= 99.5 else f"{number:.1f} {unit}"
        number /= 1000
    raise AssertionError("the last unit takes every number")


@register.filter
def count(value: int | float | None) -> str:
    """``1,204`` below ten thousand, then ``12.3 k``, ``4.1 M``, ``7.2 B``."""
    if value is None:
        return "unknown"
    number = float(value)
    if abs(number) < 10_000:
        return f"{number:,.0f}"
    for unit, scale in (("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(number) >= scale:
            return f"{number / scale:.1f} {unit}"
    raise AssertionError("numbers from ten thousand on are thousands")


@register.filter
def percent(value: float) -> str:
    """A relative change with its sign: ``+12.5 %``, ``−3.0 %``."""
    sign = "−" if value < 0 else "+"
    return f"{sign}{abs(value) * 100:.1f} %"


@register.filter
def seconds(value: float | None) -> str:
    """A duration: ``0.8 s``, ``42 s``, ``3 min 5 s``."""
    if value is None:
        return "unknown"
    if value < 10:
        return f"{value:.1f} s"
    if value < 60:
        return f"{value:.0f} s"
    return f"{int(value // 60)} min {int(value % 60)} s"


@register.filter
def clock(value: float) -> str:
    """A Unix time as the time of day, UTC."""
    return datetime.datetime.fromtimestamp(value, tz=datetime.UTC).strftime("%H:%M:%S")


@register.filter
def markdown(text: str) -> SafeString:
    """Rendered and cleaned."""
    return render_markdown(text)


@register.filter
def last_line(text: str) -> str:
    """Prompts of one adapter often begin alike; their last line tells them apart."""
    return text.strip().rpartition("\n")[2]


@register.filter(name="json")
def as_json(value: Any) -> str:
    """JSON for an attribute's value; the template escapes it."""
    return json.dumps(value)


@register.filter
def get(mapping: Mapping[str, Any] | None, key: str) -> Any:
    """``mapping[key]`` or None."""
    return None if mapping is None else mapping.get(key)
