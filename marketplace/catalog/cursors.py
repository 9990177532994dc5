"""Cursors of searches: signed offsets into the bounded list of best hits.

Browsing uses ``core.pagination`` (keyset); a search by rank has no key to go on from, but never more than 200 hits.
"""

from __future__ import annotations

import hashlib

from django.core import signing

from marketplace.catalog.types import CatalogFilters
from marketplace.core.errors import Invalid

_SALT = "marketplace.catalog.cursor"


def encode_offset(query: str, filters: CatalogFilters, offset: int) -> str:
    return signing.dumps([_search_digest(query, filters), offset], salt=_SALT)


def decode_offset(cursor: str, query: str, filters: CatalogFilters) -> int:
    """The offset in ``cursor``. Raises ``Invalid`` when it was not made for this very search."""
    try:
        made_for, offset = signing.loads(cursor, salt=_SALT)
    except (signing.BadSignature, ValueError, TypeError) as error:
        raise _unreadable() from error
    if made_for != _search_digest(query, filters):
        raise _unreadable()
    return int(offset)


def _search_digest(query: str, filters: CatalogFilters) -> str:
    return hashlib.sha256(filters.to_params(query).encode()).hexdigest()[:16]


def _unreadable() -> Invalid:
    sentence = "The cursor does not belong to this search. Start again from the first page."
    return Invalid(sentence, code="bad_cursor", extra={"fields": {"cursor": [sentence]}})
