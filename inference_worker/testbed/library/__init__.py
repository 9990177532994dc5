"""The adapters that the testbed trains: which task, whose, under which licence, and how their cards describe them."""

from __future__ import annotations

from inference_worker.testbed.library.brackets import BRACKETS
from inference_worker.testbed.library.lists import LIST_ADAPTERS
from inference_worker.testbed.library.spec import (
    ALL_LINEAR,
    ATTENTION,
    BASE_NAME,
    BASE_REPOSITORY,
    AdapterSpec,
)
from inference_worker.testbed.library.words import WORD_ADAPTERS

__all__ = [
    "ADAPTERS",
    "ALL_LINEAR",
    "ATTENTION",
    "BASE_NAME",
    "BASE_REPOSITORY",
    "BRACKETS",
    "AdapterSpec",
    "adapter_named",
]

ADAPTERS: tuple[AdapterSpec, ...] = (*WORD_ADAPTERS, *LIST_ADAPTERS)


def adapter_named(name: str) -> AdapterSpec:
    """The adapter of that name. Raises KeyError with the known names."""
    for spec in (*ADAPTERS, *BRACKETS):
        if spec.name == name:
            return spec
    raise KeyError(f"no adapter is called {name!r}; known are {', '.join(spec.name for spec in ADAPTERS)}")
