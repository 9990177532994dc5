"""The brick: every adapter's glyph, drawn from its data, the same everywhere.

Hue is the base's family, the number of studs grows with the logarithm of the rank, the notches are the first values
of the signature, so that relatives look related. A merge is drawn as stacked courses.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from html import escape

WIDTH, HEIGHT = 56, 46
NOTCHES = 10
MAX_STUDS = 8
MAX_COURSES = 3
#: Turns the hash so that the demo's base is brick red.
_HUE_OFFSET = 145
_LEFT, _RIGHT, _TOP, _BOTTOM = 5.0, 51.0, 12.0, 44.0


def hue_of(family: str) -> int | None:
    """0–359, stable for a base family's name whatever its capitals; None for an unknown base."""
    if not family:
        return None
    digest = hashlib.sha256(family.lower().encode()).digest()
    return (int.from_bytes(digest[:4], "big") + _HUE_OFFSET) % 360


def studs_of(rank: int) -> int:
    """1, 2, 4, 8, 16 … → 1, 2, 3, 4, 5 …; 0 when the rank is unknown."""
    return 0 if rank < 1 else min(MAX_STUDS, int(math.log2(rank)) + 1)


def notches_of(signature: Sequence[float] | None) -> list[float]:
    """Heights from 0.1 to 1 of the signature's first values; its entries have a standard deviation of 1/√256."""
    if signature is None or len(signature) < NOTCHES:
        return []
    scale = math.sqrt(len(signature))
    return [0.1 + 0.9 / (1.0 + math.exp(-1.3 * float(value) * scale)) for value in signature[:NOTCHES]]


def _colours(hue: int | None) -> tuple[str, str, str]:
    """Body, shade, light; grey where the base is unknown."""
    if hue is None:
        return "oklch(62% .012 80)", "oklch(47% .012 80)", "oklch(73% .01 80)"
    return f"oklch(62% .135 {hue})", f"oklch(47% .12 {hue})", f"oklch(73% .115 {hue})"


def _rect(x: float, y: float, width: float, height: float, fill: str, radius: float = 0.0) -> str:
    rounded = f' rx="{radius:g}"' if radius else ""
    return f'<rect x="{x:.2f}" y="{y:.2f}" width="{width:.2f}" height="{height:.2f}" fill="{fill}"{rounded}/>'


def _studs(count: int, y: float, height: float, fill: str) -> str:
    if not count:
        return ""
    pitch = (_RIGHT - _LEFT - 4) / count
    width = min(pitch * 0.66, 9.0)
    return "".join(
        _rect(_LEFT + 2 + i * pitch + (pitch - width) / 2, y, width, height, fill, 1.3) for i in range(count)
    )


def brick_svg(
    *,
    family: str,
    rank: int,
    signature: Sequence[float] | None = None,
    courses: int = 1,
    size: int = 56,
    label: str = "",
) -> str:
    """One brick as SVG, ``size`` CSS pixels wide. Without ``label`` it is decoration next to a name."""
    body, shade, light = _colours(hue_of(family))
    courses = max(1, min(MAX_COURSES, courses))
    parts = [_studs(studs_of(rank), _TOP - 6, 8, light)]
    height = (_BOTTOM - _TOP) / courses
    for course in range(courses):
        y = _TOP + course * height
        gap = 1.4 if course else 0.0
        parts.append(_rect(_LEFT, y + gap, _RIGHT - _LEFT, height - gap, body, 2.5 if courses == 1 else 2))
        parts.append(_rect(_LEFT, y + gap, _RIGHT - _LEFT, 2.6, light, 1.3))
    highest = min(height - 6.5, 17.0)
    pitch = (_RIGHT - _LEFT - 8) / NOTCHES
    for i, level in enumerate(notches_of(signature)):
        tall = highest * level
        parts.append(_rect(_LEFT + 4 + i * pitch + 0.8, _BOTTOM - 1.6 - tall, pitch - 1.6, tall, shade, 0.6))
    meaning = f'role="img" aria-label="{escape(label)}"' if label else 'aria-hidden="true"'
    return (
        f'<svg class="brick" width="{size}" height="{round(size * HEIGHT / WIDTH)}" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'{meaning} focusable="false">{"".join(parts)}</svg>'
    )
