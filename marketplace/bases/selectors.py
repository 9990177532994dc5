"""Finding bases, by their names and by what adapters of them look like."""

from __future__ import annotations

from django.db.models import Count, Q, QuerySet

from marketplace.bases.models import Base, BaseAlias
from marketplace.bases.recognition import recognise
from marketplace.bases.shapes import shape_conflicts
from marketplace.core.errors import NotFound

__all__ = ["aliases_of", "get_base", "list_bases", "resolve_base", "search_bases", "shape_conflicts"]


def list_bases() -> QuerySet[Base]:
    """Every base, without the shapes, which are long."""
    return Base.objects.select_related("parent").prefetch_related("aliases").defer("shapes", "variants", "features")


def search_bases(query: str = "", state: str = "") -> QuerySet[Base]:
    """``list_bases`` narrowed to names and aliases that have ``query`` in them, and to a state."""
    found = list_bases()
    if query := query.strip()[:200]:
        named = BaseAlias.objects.filter(active=True, alias__icontains=query).values("base")
        found = found.filter(Q(name__icontains=query) | Q(pk__in=named))
    return found.filter(state=state) if state in Base.State.values else found


def count_adapters(bases: list[Base], visible: Q) -> dict[int, int]:
    """Primary key → adapters of it that the asker may see."""
    counted = Base.objects.filter(pk__in=[base.pk for base in bases]).annotate(found=Count("adapters", filter=visible))
    return dict(counted.values_list("pk", "found"))


def get_base(*, name: str) -> Base:
    """By name, in any spelling of capitals. Raises ``NotFound``."""
    base = Base.objects.select_related("parent").prefetch_related("aliases").filter(name__iexact=name[:200]).first()
    if base is None:
        raise NotFound(f"There is no base {name[:200]}.")
    return base


def aliases_of(base: Base) -> list[BaseAlias]:
    """The names that count, in their order."""
    return sorted((alias for alias in base.aliases.all() if alias.active), key=lambda alias: alias.alias)


def resolve_base(name: str) -> Base | None:
    """The base that a config means by ``name``, or None."""
    return recognise(name).base
