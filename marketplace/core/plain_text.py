"""Text from files that PostgreSQL can hold."""

from __future__ import annotations

import math
import re
from typing import Any

#: NUL, which PostgreSQL's text cannot hold, and halves of surrogate pairs, which are no characters.
_IMPOSSIBLE = re.compile("[\0\ud800-\udfff]")


def has_impossible(text: str) -> bool:
    return _IMPOSSIBLE.search(text) is not None


def storable(value: Any) -> Any:
    """``value`` (what JSON can say) with the replacement character in place of what cannot be stored, and None in
    place of numbers that JSON does not know."""
    if isinstance(value, str):
        return _IMPOSSIBLE.sub("\N{REPLACEMENT CHARACTER}", value)
    if isinstance(value, dict):
        return {storable(key): storable(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [storable(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
