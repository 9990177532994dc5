"""Search by meaning: cosine over the stored vectors.

Vectors of different encoders live in one column of undeclared length; every query casts to ``halfvec(d)`` and names
its encoder, which is exactly the expression and predicate of that encoder's HNSW index (``vector_index``).
"""

from __future__ import annotations

from collections.abc import Sequence

from django.db import connection, transaction
from django.db.models import QuerySet
from django.db.models.functions import Cast
from pgvector import HalfVector
from pgvector.django import CosineDistance, HalfVectorField

from marketplace.adapters.models import Adapter, Embedding

#: Up to this many matching adapters every vector is compared: exact, and quicker than a filtered index walk.
EXACT_UP_TO = 5000
#: A cosine below this is chance for sentence encoders of the MiniLM family; such adapters are no answer.
FLOOR = 0.2
#: What the closest must reach to count as close. On the shipped library 31 of 35 queries about nothing in it (random
#: letters, other fields) stayed below it, by 0.23 in the median; of 26 about words and lists 23 reached it, with 0.60.
CLOSE = 0.35
#: What similar adapters must reach: two cards share more boilerplate than a query and a card.
ALIKE = 0.35
#: An adapter has up to two vectors, and only the better one counts.
_KINDS = 2


def closest(
    candidates: QuerySet[Adapter],
    vector: Sequence[float],
    encoder: str,
    limit: int,
    *,
    floor: float = FLOOR,
    kind: str = "",
) -> dict[int, float]:
    """Primary key → cosine of the candidates closest to ``vector`` (d numbers), closest first, at most ``limit``.

    ``kind`` restricts which vectors are compared; without it the better of an adapter's vectors counts.
    """
    dimensions = len(vector)
    stored = Embedding.objects.filter(encoder=encoder, adapter__in=candidates.order_by().values("pk"))
    if kind:
        stored = stored.filter(kind=kind)
    rows = (
        stored.annotate(
            distance=CosineDistance(Cast("embedding", HalfVectorField(dimensions=dimensions)), HalfVector(list(vector)))
        )
        .order_by("distance")
        .values_list("adapter_id", "distance")[: limit * _KINDS]
    )
    best: dict[int, float] = {}
    # The settings last as long as the transaction.
    with transaction.atomic():
        _choose_scan(few=candidates.order_by()[: EXACT_UP_TO + 1].count() <= EXACT_UP_TO, rows=limit * _KINDS)
        for adapter_id, distance in rows:
            similarity = 1.0 - float(distance)
            if similarity >= floor and similarity > best.get(adapter_id, -2.0):
                best[adapter_id] = similarity
    return dict(sorted(best.items(), key=lambda item: (-item[1], -item[0]))[:limit])


def _choose_scan(*, few: bool, rows: int) -> None:
    with connection.cursor() as cursor:
        if few:
            cursor.execute("SET LOCAL enable_indexscan = off")
            return
        # A filtered walk goes on until it has enough rows that pass the filter.
        cursor.execute("SET LOCAL hnsw.iterative_scan = relaxed_order")
        cursor.execute("SET LOCAL hnsw.ef_search = %s", [max(40, min(1000, rows))])
