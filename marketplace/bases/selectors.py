"""Finding bases by the names that configs use for them, and comparing adapters with their shapes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from django.db.models import Q, QuerySet

from marketplace.bases.models import Base, BaseAlias
from marketplace.core.errors import NotFound

#: Endings of re-uploads that hold the same model in another number format.
_COPIES = re.compile(
    r"([-_.](unsloth|bnb|4bit|8bit|int4|int8|fp16|bf16|fp32|hf|gptq|awq|nf4|fp8|w4a16|dynamic))+\Z", re.IGNORECASE
)


def list_bases() -> QuerySet[Base]:
    return Base.objects.select_related("parent").prefetch_related("aliases")


def get_base(*, name: str) -> Base:
    """By name, in any spelling of capitals. Raises ``NotFound``."""
    base = list_bases().filter(name__iexact=name).first()
    if base is None:
        raise NotFound(f"There is no base {name}.")
    return base


def spellings(name: str) -> list[str]:
    """The names under which a base that a config calls ``name`` may be known, the surest first, in lower case.

    A local path counts by its last part, and a re-upload without the endings that name its number format.
    """
    whole = name.strip().replace("\\", "/").rstrip("/").lower()
    last = whole.rpartition("/")[2]
    found = [whole, last, _COPIES.sub("", whole), _COPIES.sub("", last)]
    return [spelling for spelling in dict.fromkeys(found) if spelling and spelling != "."]


def resolve_base(name: str) -> Base | None:
    """The base that a config means by ``name``, or None."""
    for spelling in spellings(name[:500]):
        base = Base.objects.filter(Q(name__iexact=spelling) | Q(source__iexact=spelling)).order_by("pk").first()
        if base is not None:
            return base
        alias = BaseAlias.objects.select_related("base").filter(alias__iexact=spelling).first()
        if alias is not None:
            return alias.base
    return _by_last_part(name)


def _by_last_part(name: str) -> Base | None:
    """The only base whose own name ends with what ``name`` ends with; shapes are compared later."""
    lasts = {spelling.rpartition("/")[2] for spelling in spellings(name[:500])}
    found: dict[int, Base] = {}
    for last in lasts:
        for base in Base.objects.filter(Q(name__iendswith=f"/{last}") | Q(source__iendswith=f"/{last}"))[:2]:
            found[base.pk] = base
    return next(iter(found.values())) if len(found) == 1 else None


def shape_conflicts(base: Base, modules: Iterable[Mapping[str, Any]]) -> list[str]:
    """Sentences about adapted modules that ``base`` lacks or has in another shape; empty while its shapes are unread.

    ``modules`` are dumped ``contracts.inspect.ModuleStats``. As for the worker, only an embedding may be transposed.
    """
    if base.state != Base.State.READY:
        return []
    conflicts = []
    for module in modules:
        expected = base.shapes.get(module["name"])
        found = [module["d_out"], module["d_in"]]
        embedding = module.get("kind") == "embedding"
        if expected is None:
            # Bases list their linear layers alone.
            if not embedding:
                conflicts.append(f"{base.name} has no module {module['name']}.")
        elif list(expected) != found and not (embedding and list(expected) == found[::-1]):
            conflicts.append(
                f"{module['name']} is {found[0]}×{found[1]} in the adapter and {expected[0]}×{expected[1]} in "
                f"{base.name}."
            )
    return conflicts
