"""Search over real Postgres: words, meaning (vectors made by hand), fusion, filters, pages, facets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.http import QueryDict

from marketplace.accounts.models import User
from marketplace.adapters.models import Adapter, Embedding
from marketplace.catalog import selectors, words
from marketplace.catalog.types import CatalogFilters, SearchPage
from marketplace.core.errors import Invalid

pytestmark = pytest.mark.django_db

NOBODY = AnonymousUser()
Ask = Callable[..., SearchPage]


def names(page: SearchPage) -> list[str]:
    return [hit.adapter.name for hit in page.results]


def ask(query: str = "", user: Any = NOBODY, cursor: str = "", **filters: Any) -> SearchPage:
    return selectors.search(user=user, query=query, filters=CatalogFilters(**filters), cursor=cursor)


def give_vector(adapter: Adapter, vector: list[float], kind: str = "description") -> None:
    Embedding.objects.create(
        adapter=adapter, encoder=settings.ENCODER, kind=kind, text_digest="0" * 64, embedding=vector
    )


@pytest.fixture
def answer_with(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[float] | None], None]:
    """The vector that stands for every query."""

    def set_vector(vector: list[float] | None) -> None:
        monkeypatch.setattr(selectors, "embed_query", lambda text: vector)

    return set_vector


# --- words -----------------------------------------------------------------------------------------------------------
def test_without_a_live_worker_words_answer_and_the_page_says_so(make_adapter: Any, ada: User) -> None:
    make_adapter(ada, "banking-intents", description="Classifies questions of bank customers.")
    make_adapter(ada, "haiku", description="Writes short poems.")
    page = ask("banks")
    assert names(page) == ["banking-intents"]
    assert page.mode == "words"
    assert page.note == "Search by meaning is not answering; showing matches by words."
    assert page.results[0].why == ("words: banks",)
    assert page.results[0].similarity is None


def test_all_words_come_before_some_words(make_adapter: Any, ada: User) -> None:
    make_adapter(ada, "a", description="Summaries of medical reports in German and of reports on reports.")
    make_adapter(ada, "b", description="Medical summaries.")
    make_adapter(ada, "c", description="Poems.")
    page = ask("medical summaries german")
    assert names(page) == ["a", "b"]
    assert page.results[1].why == ("words: medical, summaries",)


def test_names_match_by_prefix_and_beat_descriptions(make_adapter: Any, ada: User) -> None:
    make_adapter(ada, "other", description="Mentions sqlcoder once.")
    make_adapter(ada, "sqlcoder_v2.final")
    assert names(ask("sqlcoder")) == ["sqlcoder_v2.final", "other"]
    assert names(ask("sqlco")) == ["sqlcoder_v2.final"]
    assert names(ask("sqlcoder final")) == ["sqlcoder_v2.final", "other"]


def test_operators_are_obeyed(make_adapter: Any, ada: User) -> None:
    make_adapter(ada, "a", description="Polite customer letters.")
    make_adapter(ada, "b", description="Customer letters, angry.")
    assert names(ask('"customer letters" -angry')) == ["a"]
    assert sorted(names(ask("polite or angry"))) == ["a", "b"]


@pytest.mark.parametrize("query", ["'", "':*", "a & | b", "!!!", "\\", "()", "🧱", "x\0y", "the of", "-", '"', "%s %"])
def test_strange_queries_do_no_harm(make_adapter: Any, ada: User, query: str) -> None:
    make_adapter(ada, "a", description="Plain.")
    assert ask(query).mode == "words"


def test_owner_tags_and_base_are_searched(make_adapter: Any, ada: User, bob: User) -> None:
    make_adapter(ada, "a", tags=["translation"])
    make_adapter(bob, "b", base="SmolLM2-135M-Instruct")
    assert names(ask("translation")) == ["a"]
    assert ask("translation").results[0].why == ("words: translation", "tag: translation")
    assert names(ask("bob")) == ["b"]
    assert names(ask("smollm2")) == ["b"]


def test_search_column_follows_every_way_of_writing(make_adapter: Any, ada: User) -> None:
    adapter = make_adapter(ada, "a", description="Apples.")
    Adapter.objects.filter(pk=adapter.pk).update(description="Pears.")
    assert names(ask("pears")) == ["a"]
    assert names(ask("apples")) == []


def test_words_of_a_query_are_bounded() -> None:
    assert words.words_of("One two, TWO-three") == ["one", "two", "three"]
    assert len(words.words_of(" ".join(f"w{n}" for n in range(100)))) == words.MAX_WORDS


# --- meaning ---------------------------------------------------------------------------------------------------------
def test_meaning_finds_what_shares_no_word(make_adapter: Any, ada: User, answer_with: Any) -> None:
    near, far = make_adapter(ada, "near"), make_adapter(ada, "far")
    give_vector(near, [0.6, 0.8, 0.0])
    give_vector(far, [0.0, 0.1, 1.0])
    answer_with([1.0, 0.0, 0.0])
    page = ask("anything")
    assert page.mode == "meaning_and_words"
    assert page.note == ""
    assert names(page) == ["near"]
    assert page.results[0].why == ("close in meaning (0.60)",)
    assert page.results[0].similarity == pytest.approx(0.6, abs=1e-3)


def test_a_search_says_when_nothing_is_close(make_adapter: Any, ada: User, answer_with: Any) -> None:
    """Near in meaning by chance is no match; a word in common is one."""
    for number in range(8):
        give_vector(make_adapter(ada, f"some-{number}"), [0.3, 0.95, 0.0])
    answer_with([1.0, 0.0, 0.0])
    page = ask("zzzz qqqq")
    assert (page.far, page.note) == (True, selectors.NOTHING_CLOSE)
    assert len(page.results) == page.total == selectors.NEAREST
    assert page.results[0].why == ("near in meaning (0.30)",)
    named = ask("some-3")
    assert (named.far, named.note) == (False, "")
    give_vector(make_adapter(ada, "close"), [0.6, 0.8, 0.0])
    assert not ask("zzzz qqqq").far


def test_better_of_two_vectors_counts_once(make_adapter: Any, ada: User, answer_with: Any) -> None:
    adapter = make_adapter(ada, "a")
    give_vector(adapter, [0.6, 0.8], "description")
    give_vector(adapter, [0.8, 0.6], "examples")
    answer_with([1.0, 0.0])
    [hit] = ask("anything").results
    assert hit.similarity == pytest.approx(0.8, abs=1e-3)


def test_other_encoders_are_not_compared(make_adapter: Any, ada: User, answer_with: Any) -> None:
    adapter = make_adapter(ada, "a")
    Embedding.objects.create(
        adapter=adapter, encoder="old", kind="description", text_digest="0" * 64, embedding=[1.0, 0.0, 0.0, 0.0]
    )
    answer_with([1.0, 0.0])
    assert ask("anything").results == []


def test_fusion_by_reciprocal_rank(make_adapter: Any, ada: User, answer_with: Any) -> None:
    both = make_adapter(ada, "both", description="Poems.")
    meaning_only = make_adapter(ada, "meaning-only")
    make_adapter(ada, "words-only", description="Poems, poems and poems.")
    give_vector(meaning_only, [1.0, 0.0])
    give_vector(both, [0.9, 0.436])
    answer_with([1.0, 0.0])
    page = ask("poems")
    assert names(page)[0] == "both"
    scores = {hit.adapter.name: hit.score for hit in page.results}
    assert scores["meaning-only"] == pytest.approx(1 / 61)
    assert scores["both"] + scores["words-only"] == pytest.approx(1 / 62 + 1 / 61 + 1 / 62)


def test_fuse_values() -> None:
    assert selectors.fuse([[1, 2], [2, 3]], [1.0, 1.0]) == {2: 1 / 62 + 1 / 61, 1: 1 / 61, 3: 1 / 62}
    assert list(selectors.fuse([[5], [7]], [1.0, 1.0])) == [7, 5]
    # What is tenth in meaning does not pass the first because it has one of the words.
    near = list(range(10, 0, -1))
    assert next(iter(selectors.fuse([near, [1]], [1.0, selectors.PARTIAL_WEIGHT]))) == 10


# --- who sees what ---------------------------------------------------------------------------------------------------
def test_only_visible_adapters_are_found_or_counted(
    make_adapter: Any, ada: User, bob: User, moderator: User, answer_with: Any
) -> None:
    for name, fields in {
        "open": {},
        "private": {"visibility": "private"},
        "quarantined": {"moderation": "quarantined"},
    }.items():
        give_vector(make_adapter(ada, name, description="Poems.", tags=[name], **fields), [1.0, 0.0])
    answer_with([1.0, 0.0])
    for query in ("poems", ""):
        for user in (NOBODY, bob):
            page = ask(query, user=user)
            assert names(page) == ["open"]
            assert [value.value for value in page.facets["tag"]] == ["open"]
        assert sorted(names(ask(query, user=ada))) == ["open", "private", "quarantined"]
        # Moderators decide at their desk; the catalogue is the same for them as for others.
        assert names(ask(query, user=moderator)) == ["open"]


# --- filters ---------------------------------------------------------------------------------------------------------
def test_every_filter(make_adapter: Any, ada: User, bob: User) -> None:
    make_adapter(ada, "alpha", base="m1", tags=["x", "y"], license="mit", rank=4)
    make_adapter(bob, "beta", base="m2", tags=["x"], license="apache-2.0", rank=16, origin="merge")
    make_adapter(bob, "gamma", base_name="unknown/base", rank=8)
    expected = {
        "alpha": [{"base": "M1"}, {"tags": ("x", "y")}, {"owner": "Ada"}, {"license": "MIT"}, {"rank_max": 4}],
        "beta": [{"base": "m2"}, {"origin": "merge"}, {"rank_min": 9}, {"tags": ("x",), "owner": "bob"}],
        "gamma": [{"base": "unknown/base"}, {"rank_min": 8, "rank_max": 8}],
    }
    for name, alternatives in expected.items():
        for filters in alternatives:
            assert names(ask(**filters)) == [name], filters
            assert names(ask(name, **filters)) == [name], filters
    assert names(ask(base="m1", owner="bob")) == []


def test_facets_count_what_matches(make_adapter: Any, ada: User) -> None:
    make_adapter(ada, "a", base="m1", tags=["x", "y"], license="mit", description="poem")
    make_adapter(ada, "b", base="m1", tags=["x"], description="poem")
    make_adapter(ada, "c", base_name="elsewhere/base", origin="merge")

    def counts(page: SearchPage) -> dict[str, dict[str, int]]:
        return {name: {value.value: value.count for value in values} for name, values in page.facets.items()}

    assert counts(ask()) == {
        "base": {"m1": 2, "elsewhere/base": 1},
        "tag": {"x": 2, "y": 1},
        "license": {"mit": 1},
        "origin": {"upload": 2, "merge": 1},
        # Nothing was measured.
        "verdict": {},
    }
    assert counts(ask("poem", tags=("y",)))["base"] == {"m1": 1}
    assert [value.value for value in ask().facets["tag"]] == ["x", "y"]


# --- pages -----------------------------------------------------------------------------------------------------------
def walk(query: str, **filters: Any) -> list[str]:
    found: list[str] = []
    cursor = ""
    while True:
        page = ask(query, cursor=cursor, **filters)
        found += names(page)
        cursor = page.next_cursor
        if not cursor:
            return found


@pytest.mark.parametrize("sort", ["newest", "downloads", "likes", "name"])
def test_browsing_visits_everything_once(make_adapter: Any, ada: User, sort: Any) -> None:
    for number in range(7):
        make_adapter(ada, f"a{number}", downloads=number % 3, likes=number % 2)
    found = walk("", sort=sort, limit=2)
    expected = {
        "newest": ["a6", "a5", "a4", "a3", "a2", "a1", "a0"],
        "downloads": ["a5", "a2", "a4", "a1", "a6", "a3", "a0"],
        "likes": ["a5", "a3", "a1", "a6", "a4", "a2", "a0"],
        "name": ["a0", "a1", "a2", "a3", "a4", "a5", "a6"],
    }
    assert found == expected[sort]
    assert ask().total == 7


def test_search_results_are_paged(make_adapter: Any, ada: User) -> None:
    for number in range(7):
        make_adapter(ada, f"poem-{number}")
    found = walk("poem", limit=3)
    assert len(found) == len(set(found)) == 7
    assert ask("poem").total == 7


def test_cursors_of_another_search_are_refused(make_adapter: Any, ada: User) -> None:
    for number in range(4):
        make_adapter(ada, f"poem-{number}")
    of_search = ask("poem", limit=2).next_cursor
    of_browsing = ask(limit=2).next_cursor
    for query, cursor, filters in [
        ("poems", of_search, {"limit": 2}),
        ("poem", of_search, {"limit": 2, "owner": "ada"}),
        ("poem", of_browsing, {"limit": 2}),
        ("poem", of_search[:-2] + "xx", {"limit": 2}),
        ("", of_search, {"limit": 2}),
        ("", of_browsing, {"limit": 2, "sort": "name"}),
        ("", "garbage", {}),
    ]:
        with pytest.raises(Invalid):
            ask(query, cursor=cursor, **filters)


# --- URL parameters --------------------------------------------------------------------------------------------------
def test_parameters_round_trip() -> None:
    text = "base=m%2F1&tag=x&tag=y&owner=ada&license=mit&origin=merge&rank_min=2&rank_max=64&sort=name&limit=10"
    filters = CatalogFilters.from_params(QueryDict(text))
    assert filters.tags == ("x", "y")
    assert (filters.rank_min, filters.rank_max, filters.sort, filters.limit) == (2, 64, "name", 10)
    assert filters.to_params() == text
    assert filters.to_params("a b", "C") == "q=a+b&" + text + "&cursor=C"
    assert CatalogFilters().to_params() == ""
    assert CatalogFilters(sort="name").is_empty
    assert not filters.is_empty
    assert filters.without(tags=()).tags == ()


@pytest.mark.parametrize(
    ("text", "field"),
    [("rank_min=x", "rank_min"), ("limit=-1", "limit"), ("origin=stolen", "origin"), ("sort=best", "sort")],
)
def test_faults_of_parameters_are_named(text: str, field: str) -> None:
    with pytest.raises(Invalid) as caught:
        CatalogFilters.from_params(QueryDict(text))
    assert list(caught.value.extra["fields"]) == [field]


def test_limit_is_bounded() -> None:
    assert CatalogFilters.from_params(QueryDict("limit=5000")).limit == 100
