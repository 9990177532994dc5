"""The lines of Python that load a base, as cards and an adapter's page show them."""

from __future__ import annotations

import json
from pathlib import Path

from inference_worker.contracts.bases import SHIPPED_BASES

#: The root of Brickyard's repository: paths in it work in every clone.
_ROOT = Path(__file__).resolve().parents[3]
#: What adapters' configs put before the names of shipped bases.
_PREFIX = "brickyard/"


def shipped_base(name: str) -> str:
    """The name of the base in Brickyard's repository that ``name`` means, with or without its prefix, or by its
    directory here; empty where it is none."""
    short = name.removeprefix(_PREFIX)
    if short in SHIPPED_BASES:
        return short
    return next((known for known, folder in SHIPPED_BASES.items() if str(folder) == name), "")


def base_lines(base: str, loader: str) -> str:
    """``base = …``, for a repository's id or a shipped base, with where to run it for the latter."""
    known = shipped_base(base)
    if not known:
        return f"base = {loader}.from_pretrained({json.dumps(base)})"
    folder = SHIPPED_BASES[known].relative_to(_ROOT).as_posix()
    return (
        f"# {known} comes with Brickyard: run this at the root of a clone of its repository.\n"
        f"base = {loader}.from_pretrained({json.dumps(folder)})"
    )
