"""Validation errors in words for people: one place for pages, REST and the command line."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches

from pydantic import ValidationError
from pydantic_core import ErrorDetails

#: What pydantic puts before the words of a validator of ours.
_PREFIX = "Value error, "


def fault_words(item: ErrorDetails, known: Collection[str] = ()) -> str:
    """What is wrong, without the place. An unknown name is told with the nearest of ``known``."""
    if item["type"] != "extra_forbidden":
        return item["msg"].removeprefix(_PREFIX)
    near = get_close_matches(str(item["loc"][-1]), known, n=3)
    return "unknown parameter" + (f", did you mean {' or '.join(near)}?" if near else "")


def faults_in_words(error: ValidationError, known: Collection[str] = ()) -> list[str]:
    """``place: words`` for every fault."""
    found = []
    for item in error.errors():
        place = ".".join(map(str, item["loc"]))
        words = fault_words(item, known)
        found.append(f"{place}: {words}" if place else words)
    return found
