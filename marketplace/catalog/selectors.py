"""Finding adapters by meaning, by words and by filters."""

from __future__ import annotations

from collections.abc import Sequence

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.db.models import F, Q, QuerySet, Value
from django.db.models.functions import Coalesce

from marketplace.accounts.models import User
from marketplace.adapters.models import Adapter
from marketplace.adapters.selectors import listed_adapters
from marketplace.catalog import cursors, meaning, words
from marketplace.catalog.facets import count_facets
from marketplace.catalog.types import FORGETS, CatalogFilters, FacetValue, Mode, SearchHit, SearchPage
from marketplace.core.live import embed_query
from marketplace.core.pagination import keyset_page

__all__ = ["CatalogFilters", "FacetValue", "SearchHit", "SearchPage", "filtered", "search"]

#: A ranked search never goes deeper; whoever looks further wants other words.
MAX_HITS = 200
MAX_QUERY = 400
#: Cormack, Clarke and Büttcher 2009: ranks are damped by 60 before they are added.
RRF_K = 60
#: Of a ranking by some of the words: one common word must not outweigh what is closest in meaning.
PARTIAL_WEIGHT = 0.05
#: As many are shown where nothing is close.
NEAREST = 6
NOTHING_CLOSE = "Nothing here is close to that. The nearest are listed; they may have nothing to do with it."
WORDS_ONLY = "Search by meaning is not answering; showing matches by words."
_ORDERS = {
    "newest": ("-created_at", "-id"),
    "downloads": ("-downloads", "-id"),
    "likes": ("-likes", "-id"),
    "name": ("name", "id"),
    "gain": ("-known_gain", "-id"),
}
#: Gains are ordered by the lower end of their intervals: luck with few examples makes no first. Below every gain: what
#: was not measured comes last.
_UNKNOWN_GAIN = -2.0


def search(
    *,
    user: User | AnonymousUser,
    query: str = "",
    filters: CatalogFilters | None = None,
    cursor: str = "",
) -> SearchPage:
    """One page of what ``user`` may see: best hits for ``query``, or everything by ``filters.sort`` without one.

    Raises ``Invalid`` for a cursor of another search.
    """
    filters = filters or CatalogFilters()
    query = " ".join(query.replace("\0", " ").split())[:MAX_QUERY]
    candidates = filtered(listed_adapters(user), filters)
    if query:
        return _ranked(candidates, query, filters, cursor)
    return _browse(candidates, filters, cursor)


def filtered(adapters: QuerySet[Adapter], filters: CatalogFilters) -> QuerySet[Adapter]:
    """``adapters`` narrowed by every filter that is set. Only adapters with a version are listed at all."""
    conditions = Q(current__isnull=False)
    if filters.base:
        conditions &= Q(base__name__iexact=filters.base) | Q(base__isnull=True, base_name__iexact=filters.base)
    if filters.tags:
        conditions &= Q(tags__contains=list(filters.tags))
    if filters.owner:
        conditions &= Q(owner__username__iexact=filters.owner)
    if filters.license:
        conditions &= Q(license__iexact=filters.license)
    if filters.origin:
        conditions &= Q(origin=filters.origin)
    if filters.verdict:
        measured = Q(standing__forgets=True) if filters.verdict == FORGETS else Q(standing__verdict=filters.verdict)
        conditions &= measured
    if filters.rank_min is not None:
        conditions &= Q(current__artifact__rank__gte=filters.rank_min)
    if filters.rank_max is not None:
        conditions &= Q(current__artifact__rank__lte=filters.rank_max)
    return adapters.filter(conditions)


def _browse(candidates: QuerySet[Adapter], filters: CatalogFilters, cursor: str) -> SearchPage:
    ordered = candidates
    if filters.sort == "gain":
        ordered = candidates.annotate(known_gain=Coalesce(F("standing__gain_low"), Value(_UNKNOWN_GAIN)))
    page = keyset_page(ordered, order=_ORDERS[filters.sort], cursor=cursor or None, limit=filters.limit)
    return SearchPage(
        results=[SearchHit(adapter, score=0.0) for adapter in page.items],
        mode="browse",
        next_cursor=page.next_cursor or "",
        facets=count_facets(candidates),
        total=candidates.count(),
    )


def _ranked(candidates: QuerySet[Adapter], query: str, filters: CatalogFilters, cursor: str) -> SearchPage:
    offset = cursors.decode_offset(cursor, query, filters) if cursor else 0
    whole, partial = words.best_by_words(candidates, query, MAX_HITS)
    vector = embed_query(query)
    similarity: dict[int, float] = {}
    mode: Mode = "words"
    if vector is not None:
        mode = "meaning_and_words"
        similarity = meaning.closest(candidates, vector, settings.ENCODER, MAX_HITS)
    scores = fuse([whole, list(similarity), partial], [1.0, 1.0, PARTIAL_WEIGHT])
    # By meaning everything is near something; without a word in common that takes more than chance.
    far = bool(similarity) and not whole and not partial and max(similarity.values()) < meaning.CLOSE
    best = list(scores)[: NEAREST if far else MAX_HITS]
    page = best[offset : offset + filters.limit]
    ends = offset + filters.limit
    return SearchPage(
        results=_hits(candidates, page, scores, similarity, query),
        mode=mode,
        note=WORDS_ONLY if vector is None else NOTHING_CLOSE if far else "",
        far=far,
        next_cursor=cursors.encode_offset(query, filters, ends) if ends < len(best) else "",
        facets=count_facets(Adapter.objects.filter(pk__in=best)),
        total=len(best),
    )


def fuse(rankings: Sequence[list[int]], weights: Sequence[float]) -> dict[int, float]:
    """Reciprocal rank fusion: Σ weight / (60 + rank), ranks from 1; best first, ties by the newer primary key."""
    scores: dict[int, float] = {}
    for ranking, weight in zip(rankings, weights, strict=True):
        for rank, key in enumerate(ranking, start=1):
            scores[key] = scores.get(key, 0.0) + weight / (RRF_K + rank)
    return dict(sorted(scores.items(), key=lambda item: (-item[1], -item[0])))


def _hits(
    candidates: QuerySet[Adapter],
    ids: list[int],
    scores: dict[int, float],
    similarity: dict[int, float],
    query: str,
) -> list[SearchHit]:
    adapters = {adapter.pk: adapter for adapter in candidates.filter(pk__in=ids)}
    matched = words.matched_words(ids, query)
    asked = set(words.words_of(query))
    hits = []
    # An adapter that went out of sight since it was ranked is left out.
    for adapter in (adapters[key] for key in ids if key in adapters):
        key = adapter.pk
        why: list[str] = []
        tags = [tag for tag in adapter.tags if asked >= set(words.words_of(tag)) and words.words_of(tag)]
        if matched.get(key):
            why.append("words: " + ", ".join(matched[key]))
        if tags:
            why.append("tag: " + ", ".join(tags))
        if key in similarity:
            word = "close" if similarity[key] >= meaning.CLOSE else "near"
            why.append(f"{word} in meaning ({similarity[key]:.2f})")
        hits.append(SearchHit(adapter, scores[key], tuple(why), similarity.get(key)))
    return hits
