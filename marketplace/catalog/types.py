"""What a search takes and gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal
from urllib.parse import urlencode

from django.http import QueryDict

from marketplace.adapters.models import Adapter
from marketplace.core.errors import Invalid
from marketplace.evaluations.models import Standing

Mode = Literal["meaning_and_words", "words", "browse"]
Sort = Literal["newest", "downloads", "likes", "name", "gain"]

SORTS: tuple[Sort, ...] = ("newest", "downloads", "likes", "name", "gain")
#: What measurements may be filtered by: verdicts, and what was forgotten beside them.
FORGETS = "forgets"
VERDICTS = (*Standing.Verdict.values, FORGETS)
DEFAULT_LIMIT = 24
MAX_LIMIT = 100


@dataclass(frozen=True)
class CatalogFilters:
    """The URL parameters of the catalogue besides ``q`` and ``cursor``; empty means "do not filter".

    ``base`` is the base's name (or the name in the config where the base is unknown), ``tags`` must all be present,
    ``rank_min`` and ``rank_max`` include their ends, ``verdict`` is what was measured (``VERDICTS``), ``sort`` orders
    browsing without a query.
    """

    base: str = ""
    tags: tuple[str, ...] = ()
    owner: str = ""
    license: str = ""
    origin: str = ""
    verdict: str = ""
    rank_min: int | None = None
    rank_max: int | None = None
    sort: Sort = "newest"
    limit: int = DEFAULT_LIMIT

    @classmethod
    def from_params(cls, params: QueryDict) -> CatalogFilters:
        """Read ``base``, ``tag`` (repeatable), ``owner``, ``license``, ``origin``, ``verdict``, ``rank_min``,
        ``rank_max``, ``sort`` and ``limit``. Raises ``Invalid`` naming each parameter at fault."""
        faults: dict[str, list[str]] = {}
        numbers = {name: _number(params, name, faults) for name in ("rank_min", "rank_max", "limit")}
        origin, sort = params.get("origin", ""), params.get("sort") or "newest"
        verdict = params.get("verdict", "")
        if verdict and verdict not in VERDICTS:
            faults["verdict"] = [f"Choose one of: {', '.join(VERDICTS)}."]
        if origin and origin not in Adapter.Origin.values:
            faults["origin"] = [f"Choose one of: {', '.join(Adapter.Origin.values)}."]
        known_sort = next((name for name in SORTS if name == sort), None)
        if known_sort is None:
            faults["sort"] = [f"Choose one of: {', '.join(SORTS)}."]
        if faults or known_sort is None:
            words = " ".join(f"{name}: {' '.join(sentences)}" for name, sentences in faults.items())
            raise Invalid(f"The search has faults. {words}", extra={"fields": faults})
        limit = numbers["limit"] or DEFAULT_LIMIT
        return cls(
            base=params.get("base", "").strip(),
            tags=tuple(dict.fromkeys(tag.strip().lower() for tag in params.getlist("tag") if tag.strip())),
            owner=params.get("owner", "").strip(),
            license=params.get("license", "").strip(),
            origin=origin,
            verdict=verdict,
            rank_min=numbers["rank_min"],
            rank_max=numbers["rank_max"],
            sort=known_sort,
            limit=min(limit, MAX_LIMIT),
        )

    def to_params(self, query: str = "", cursor: str = "") -> str:
        """The same as a query string, without what has its default."""
        pairs: list[tuple[str, str]] = [("q", query)] if query else []
        pairs += [("base", self.base)] if self.base else []
        pairs += [("tag", tag) for tag in self.tags]
        for name in ("owner", "license", "origin", "verdict", "rank_min", "rank_max"):
            value = getattr(self, name)
            pairs += [(name, str(value))] if value not in ("", None) else []
        pairs += [("sort", self.sort)] if self.sort != "newest" else []
        pairs += [("limit", str(self.limit))] if self.limit != DEFAULT_LIMIT else []
        pairs += [("cursor", cursor)] if cursor else []
        return urlencode(pairs)

    def without(self, **changes: object) -> CatalogFilters:
        """A copy with some filters changed, for links that take one filter away."""
        return replace(self, **changes)  # type: ignore[arg-type]

    @property
    def is_empty(self) -> bool:
        return replace(self, sort="newest", limit=DEFAULT_LIMIT) == CatalogFilters()


def _number(params: QueryDict, name: str, faults: dict[str, list[str]]) -> int | None:
    text = params.get(name, "").strip()
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 6:
        faults[name] = ["Give a whole number from 0 to 999999."]
        return None
    return int(text)


@dataclass(frozen=True)
class SearchHit:
    """One result. ``why`` says in short phrases why it matched; ``similarity`` is the cosine to the query, from -1
    to 1, None where meaning did not count."""

    adapter: Adapter
    score: float
    why: tuple[str, ...] = ()
    similarity: float | None = None


@dataclass(frozen=True)
class FacetValue:
    value: str
    count: int


@dataclass(frozen=True)
class SearchPage:
    """One page of results. ``note`` is a sentence for people when something does not answer, else empty;
    ``next_cursor`` is empty on the last page; ``facets`` has the keys base, tag, license, origin, verdict."""

    results: list[SearchHit]
    mode: Mode
    note: str = ""
    next_cursor: str = ""
    facets: Mapping[str, list[FacetValue]] = field(default_factory=dict)
    #: Whether nothing is close, so that ``results`` are merely the nearest.
    far: bool = False
    #: How many adapters match; for a search with words or meaning at most the 200 best count.
    total: int = 0
