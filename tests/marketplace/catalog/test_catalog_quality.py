"""Does meaning find what people mean? Twenty cards, the real encoder, real Postgres."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import AnonymousUser

from inference_worker.retrieval.encoder import Encoder, load_encoder
from marketplace.accounts.models import User
from marketplace.catalog import selectors, texts
from marketplace.catalog.services import store_embeddings

pytestmark = pytest.mark.django_db

CARDS = {
    "banking77": "Classifies customer questions of a retail bank into 77 intents such as lost card or top-up failed.",
    "sql-writer": "Translates questions in English into SQL queries over a given table schema.",
    "haiku": "Writes haiku about nature in three lines.",
    "med-summaries": "Summarises discharge letters of hospitals for general practitioners.",
    "legal-clauses": "Finds risky clauses in rental and employment contracts.",
    "de-en": "Translates German news into English.",
    "toxicity": "Flags insulting or hateful comments under articles.",
    "math-steps": "Solves school arithmetic word problems step by step.",
    "unit-tests": "Writes pytest unit tests for Python functions.",
    "commit-messages": "Writes a git commit message from a diff.",
    "recipes": "Suggests dinner recipes from the ingredients in the fridge.",
    "chess": "Comments chess games move by move.",
    "sentiment": "Rates film reviews as positive or negative.",
    "ner-people": "Extracts names of persons, places and companies from text.",
    "job-ads": "Rewrites job advertisements in neutral language.",
    "weather": "Turns measurements into short weather forecasts.",
    "physics-tutor": "Explains mechanics and electricity to pupils.",
    "email-polite": "Makes brusque e-mails polite.",
    "json-extract": "Turns free text invoices into JSON with fixed keys.",
    "bedtime": "Tells bedtime stories for small children.",
}
#: Queries that share hardly a word with the card they mean.
QUERIES = {
    "my debit card was stolen, what does the client want": "banking77",
    "text to database query": "sql-writer",
    "japanese poetry": "haiku",
    "shorten clinical reports for doctors": "med-summaries",
    "lawyer checking an agreement": "legal-clauses",
    "language translation from German": "de-en",
    "hate speech detection": "toxicity",
    "grade school maths": "math-steps",
    "automated testing of code": "unit-tests",
    "what can I cook": "recipes",
    "is this movie opinion good or bad": "sentiment",
    "named entity recognition": "ner-people",
    "structured data from bills": "json-extract",
    "fairy tales for kids": "bedtime",
    "explain Newton's laws to a student": "physics-tutor",
    "friendlier tone in messages": "email-polite",
}


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return load_encoder(settings.ENCODER)


@pytest.fixture(autouse=True)
def _cards(make_adapter: Any, ada: User, encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, description in CARDS.items():
        adapter = make_adapter(ada, name, description=description)
        found = texts.texts_of(adapter)
        stored = store_embeddings(
            adapter=adapter,
            encoder=encoder.name,
            vectors={kind: encoder.encode(kind_texts)[0].tolist() for kind, kind_texts in found.items()},
            digests={kind: texts.digest_of(kind_texts) for kind, kind_texts in found.items()},
        )
        assert stored == 1
    monkeypatch.setattr(selectors, "embed_query", lambda text: encoder.encode([text])[0].tolist())


def ranking(query: str) -> list[str]:
    return [hit.adapter.name for hit in selectors.search(user=AnonymousUser(), query=query).results]


def test_what_is_meant_comes_first() -> None:
    ranks = {
        query: ranking(query).index(meant) + 1 if meant in ranking(query) else 99 for query, meant in QUERIES.items()
    }
    first = sum(rank == 1 for rank in ranks.values())
    assert first >= len(QUERIES) - 2, ranks
    assert max(ranks.values()) <= 3, ranks


def test_nonsense_finds_little() -> None:
    assert len(ranking("xqzzt vlorp")) <= 4


def test_every_hit_says_why() -> None:
    page = selectors.search(user=AnonymousUser(), query="pytest for my functions")
    assert page.results[0].adapter.name == "unit-tests"
    assert page.results[0].why[0] == "words: pytest, functions"
    assert page.results[0].why[1].startswith("close in meaning (0.")
    assert all(hit.why for hit in page.results)
