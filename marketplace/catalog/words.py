"""Search by words: Postgres full text over ``Adapter.search``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from django.contrib.postgres.search import SearchQuery, SearchRank
from django.db import connection
from django.db.models import BooleanField, ExpressionWrapper, F, Q, QuerySet

from marketplace.adapters.models import Adapter

_WORD = re.compile(r"\w+")
_OPERATORS = re.compile(r'"|(?:^|\s)-\w|\bOR\b', re.IGNORECASE)
MAX_WORDS = 16
_MIN_PREFIX = 2


@dataclass(frozen=True)
class WordQuery:
    """``strict`` is what was typed (all words, quotes, minus, or); ``loose`` any of the words; ``prefix`` names that
    begin with them, None for words too short. With operators, loose and prefix do not apply: they would bring back
    what the operators exclude."""

    strict: SearchQuery
    loose: SearchQuery | None
    prefix: SearchQuery | None


def words_of(query: str) -> list[str]:
    """The distinct words of a query in order, lower case, at most 16."""
    return list(dict.fromkeys(word.lower() for word in _WORD.findall(query)))[:MAX_WORDS]


def parse(query: str) -> WordQuery | None:
    """None when the query has no word at all."""
    words = words_of(query)
    if not words:
        return None
    strict = SearchQuery(query, search_type="websearch", config="english")
    if _OPERATORS.search(query):
        return WordQuery(strict, None, None)
    loose = None
    for word in words:
        one = SearchQuery(word, search_type="plain", config="english")
        loose = one if loose is None else loose | one
    return WordQuery(strict, loose, _prefix(words))


def _prefix(words: list[str]) -> SearchQuery | None:
    terms = [f"{word}:*A" for word in words if len(word) >= _MIN_PREFIX]
    if not terms:
        return None
    return SearchQuery(" & ".join(terms), search_type="raw", config="simple")


def best_by_words(candidates: QuerySet[Adapter], query: str, limit: int) -> tuple[list[int], list[int]]:
    """Primary keys of the candidates with all words, and of those with some, each best first by ``ts_rank_cd``."""
    parsed = parse(query)
    if parsed is None:
        return [], []
    everything = Q(search=parsed.strict)
    some = parsed.loose if parsed.loose is not None else parsed.strict
    matching = Q(search=some) | everything
    whole = everything
    if parsed.prefix is not None:
        matching |= Q(search=parsed.prefix)
        whole |= Q(search=parsed.prefix)
    ranking = some if parsed.prefix is None else some | parsed.prefix
    found = list(
        candidates.filter(matching)
        .annotate(
            whole=ExpressionWrapper(whole, output_field=BooleanField()),
            # 32 keeps ranks below 1, so that long cards do not win by length.
            words_rank=SearchRank(F("search"), ranking, cover_density=True, normalization=32),
        )
        .order_by("-whole", "-words_rank", "-id")
        .values_list("pk", "whole")[:limit]
    )
    return [key for key, whole in found if whole], [key for key, whole in found if not whole]


def matched_words(ids: list[int], query: str) -> dict[int, list[str]]:
    """Which of the query's words each adapter contains, in the order of the query (stop words never match)."""
    words = words_of(query)
    if not ids or not words:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT a.id, array_agg(w.word ORDER BY w.place)
            FROM adapters_adapter a, unnest(%s::text[]) WITH ORDINALITY AS w(word, place)
            WHERE a.id = ANY(%s)
              AND (a.search @@ plainto_tsquery('english', w.word)
                   OR (length(w.word) >= %s AND a.search @@ to_tsquery('simple', w.word || ':*A')))
            GROUP BY a.id
            """,
            [words, ids, _MIN_PREFIX],
        )
        return {row[0]: row[1] for row in cursor.fetchall()}
