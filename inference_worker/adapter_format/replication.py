"""``layer_replication``: a base whose layers PEFT puts together anew, some of them several times."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

_LAYER = re.compile(r"(?P<before>(?:.*?\.)?(?:layers|layer|h|blocks))\.(?P<index>\d+)(?P<after>\..*)")


def base_name(module: str, replication: Any) -> str:
    """The name in the base itself of a module of the replicated model (checked pairs of first and last layer)."""
    found = _LAYER.fullmatch(module) if replication else None
    if found is None:
        return module
    order = layer_order(replication, int(found["index"]))
    return module if order is None else f"{found['before']}.{order}{found['after']}"


def layer_order(replication: Sequence[Sequence[int]], index: int) -> int | None:
    """The base's layer at position ``index``: the ranges one after another, their ends left out."""
    for start, end in replication:
        if index < end - start:
            return start + index
        index -= max(end - start, 0)
    return None
