"""Selectors: short words for groups of modules, the same on pages, in REST and on the command line. Free of torch.

``0-15`` and ``7`` are layers (the first number in a module's dotted name), ``q_proj``, ``self_attn`` or
``mlp.*_proj`` a part of the dotted name with ``*`` and ``?``; with a slash both must fit: ``0-15/q_proj``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Annotated

from pydantic import AfterValidator, StringConstraints

_LAYERS = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?")
_CHARACTERS = r"^[\w.*?/-]+$"


def _checked(selector: str) -> str:
    for part in selector.split("/"):
        layers = _LAYERS.fullmatch(part)
        if not part:
            raise ValueError(f"“{selector}” has an empty part; write something like 0-15/q_proj")
        if layers and layers[2] and int(layers[2]) < int(layers[1]):
            raise ValueError(f"the layers {part} run backwards")
    return selector


#: A selector, checked.
Selector = Annotated[str, StringConstraints(pattern=_CHARACTERS, max_length=200), AfterValidator(_checked)]


def layer_of(module: str) -> int | None:
    """The layer that a module is in, None for what stands outside the layers (``lm_head``)."""
    return next((int(part) for part in module.split(".") if part.isdecimal()), None)


def selects(selector: str, module: str) -> bool:
    """Whether ``selector`` fits the module with this dotted name."""
    return all(_part_fits(part, module) for part in selector.split("/"))


def _part_fits(part: str, module: str) -> bool:
    layers = _LAYERS.fullmatch(part)
    if layers is None:
        return fnmatchcase(f".{module}.", f"*.{part}.*")
    layer = layer_of(module)
    return layer is not None and int(layers[1]) <= layer <= int(layers[2] or layers[1])


def select_modules(modules: Iterable[str], include: Iterable[str], exclude: Iterable[str]) -> list[str]:
    """The modules that any of ``include`` fits (all where there is none) and none of ``exclude``, in their order."""
    wanted, unwanted = tuple(include), tuple(exclude)
    return [
        module
        for module in modules
        if (not wanted or any(selects(selector, module) for selector in wanted))
        and not any(selects(selector, module) for selector in unwanted)
    ]
