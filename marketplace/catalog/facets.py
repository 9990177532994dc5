"""Counts beside the filters."""

from __future__ import annotations

from django.db.models import Count, Expression, F, Func, QuerySet, Value
from django.db.models.functions import Coalesce, NullIf

from marketplace.adapters.models import Adapter
from marketplace.catalog.types import FORGETS, FacetValue

MAX_VALUES = 30


class Unnest(Func):
    """One row per element of an array."""

    function = "unnest"
    set_returning = True


def count_facets(matching: QuerySet[Adapter]) -> dict[str, list[FacetValue]]:
    """Values of base, tag, license, origin and verdict among ``matching`` with their counts, most frequent first; among
    the verdicts also how many forget."""
    columns: dict[str, Expression | F] = {
        "base": Coalesce(F("base__name"), NullIf(F("base_name"), Value(""))),
        "tag": Unnest(F("tags")),
        "license": NullIf(F("license"), Value("")),
        "origin": F("origin"),
        "verdict": NullIf(F("standing__verdict"), Value("")),
    }
    found = {name: _count(matching, column) for name, column in columns.items()}
    # Beside the verdict and not instead of it: an adapter may be better at its own and forget the probes.
    if forgets := matching.filter(standing__forgets=True).order_by().values("pk").distinct().count():
        found["verdict"].append(FacetValue(FORGETS, forgets))
        found["verdict"].sort(key=lambda value: (-value.count, value.value))
    return found


def _count(matching: QuerySet[Adapter], column: Expression | F) -> list[FacetValue]:
    # The inner query is read by key alone, so that joins of the caller cannot multiply rows.
    counted = (
        Adapter.objects.filter(pk__in=matching.order_by().values("pk"))
        .annotate(facet=column)
        .order_by()
        .values("facet")
        .annotate(count=Count("pk"))
        .order_by("-count", "facet")[: MAX_VALUES + 1]
    )
    return [FacetValue(row["facet"], row["count"]) for row in counted if row["facet"] is not None][:MAX_VALUES]
