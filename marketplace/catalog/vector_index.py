"""One HNSW index per encoder, made while the site runs.

The column holds vectors of any length, so each index is on the expression ``embedding::halfvec(d)`` of one encoder's
rows. An encoder is replaced by embedding everything with the new one, indexing it, switching the setting, and dropping
the old rows and index; the old one serves meanwhile.
"""

from __future__ import annotations

import hashlib

from django.db import connection
from psycopg import sql

from marketplace.adapters.models import Embedding

PREFIX = "catalog_embedding_"
#: ``halfvec`` is indexable up to this many dimensions.
MAX_DIMENSIONS = 4000
#: Two builders at once would wait for each other's transactions for ever.
_LOCK = 0x6272_636B


def index_name(encoder: str) -> str:
    return PREFIX + hashlib.sha256(encoder.encode()).hexdigest()[:12]


def dimensions_of(encoder: str) -> int | None:
    """Length of the encoder's vectors as stored; None when there is none yet."""
    row = Embedding.objects.filter(encoder=encoder).values_list("embedding", flat=True).first()
    return None if row is None else len(row)


def has_index(encoder: str) -> bool:
    """Whether the encoder's index is there and complete."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT i.indisvalid FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid WHERE c.relname = %s",
            [index_name(encoder)],
        )
        row = cursor.fetchone()
    return bool(row and row[0])


def ensure_vector_index(encoder: str) -> bool:
    """Create the encoder's index unless it is there; returns whether it was made now.

    Reads and writes go on meanwhile. Has to be called outside a transaction. A half-made index of a build that was
    interrupted is dropped first. Raises ``ValueError`` when the vectors are too long for an index.
    """
    if has_index(encoder):
        return False
    dimensions = dimensions_of(encoder)
    if dimensions is None:
        return False
    if dimensions > MAX_DIMENSIONS:
        raise ValueError(f"{encoder} has {dimensions} dimensions; an index takes at most {MAX_DIMENSIONS}")
    name = sql.Identifier(index_name(encoder))
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [_LOCK])
        if not cursor.fetchone()[0]:
            return False
        try:
            cursor.execute(sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(name))
            cursor.execute(
                sql.SQL(
                    "CREATE INDEX CONCURRENTLY {name} ON {table} "
                    "USING hnsw ((embedding::halfvec({dimensions})) halfvec_cosine_ops) WHERE encoder = {encoder}"
                ).format(
                    name=name,
                    table=sql.Identifier(Embedding._meta.db_table),
                    dimensions=sql.Literal(dimensions),
                    encoder=sql.Literal(encoder),
                )
            )
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [_LOCK])
    return True


def drop_vector_index(encoder: str) -> None:
    """Drop the index of an encoder that is no longer used. Has to be called outside a transaction."""
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(sql.Identifier(index_name(encoder))))
