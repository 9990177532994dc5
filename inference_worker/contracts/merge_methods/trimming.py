"""What the largest entries are counted among, for methods that keep only these."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

Trim = Literal["model", "module"]
TRIM_WORDS = (
    "Among which entries the largest are kept. model: all of an adapter together, so that modules which change little "
    "lose more. module: those of each module by itself."
)


def with_earlier_trim(options: Mapping[str, Any], known: Mapping[str, object]) -> dict[str, Any]:
    """``options`` of a recipe from before there was this choice, when every module was trimmed by itself. ``known``
    are the names of the method's options."""
    return {**({"trim": "module"} if "trim" in known else {}), **options}
