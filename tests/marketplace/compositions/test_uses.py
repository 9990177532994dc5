"""Adapters that write no text are found and merged, and refused by name where text is asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from marketplace.accounts.models import User
from marketplace.adapters.models import Adapter
from marketplace.compositions.services import plan_verdict
from marketplace.core.errors import Invalid
from marketplace.core.redis import redis_client
from marketplace.playground.services import start_generation

MakeAdapter = Callable[..., Adapter]
pytestmark = pytest.mark.django_db


@pytest.fixture
def make(make_adapter: MakeAdapter, ada: User) -> Callable[..., Adapter]:
    def made(name: str, **summary: Any) -> Adapter:
        adapter = make_adapter(ada, name, base="tiny")
        assert adapter.current is not None
        artifact = adapter.current.artifact
        artifact.summary = summary
        artifact.modules = [{"name": "a.q_proj", "rank": 8, "d_in": 4, "d_out": 4, "norm": 1.0, "effective_rank": 2.0}]
        artifact.save()
        return adapter

    return made


@pytest.mark.parametrize(
    ("summary", "words"),
    [
        ({"task_type": "SEQ_CLS"}, "it classifies whole texts"),
        ({"task_type": "SEQ_2_SEQ_LM"}, "an encoder and a decoder"),
        ({"task_type": "TOKEN_CLS"}, "labels single tokens"),
        ({"task_type": "FEATURE_EXTRACTION"}, "makes embeddings"),
        ({"task_type": "CAUSAL_LM", "features": ["rslora", "modules_to_save"]}, "whole modules of its own"),
    ],
)
def test_no_generation_is_started(summary: dict[str, Any], words: str, make: Callable[..., Adapter], ada: User) -> None:
    redis_client().delete("generate")
    adapter = make("labels", **summary)
    with pytest.raises(Invalid, match=words) as caught:
        start_generation(user=ada, members=[(adapter, 1.0)], prompt="cat")
    assert caught.value.code == "not_served"
    assert caught.value.message.startswith("ada/labels is stored but cannot be generated with: ")
    assert redis_client().llen("generate") == 0


def test_rest_answers_with_the_same_words(make: Callable[..., Adapter], ada: User, client: Client) -> None:
    make("labels", task_type="SEQ_CLS")
    client.force_login(ada)
    body = {"prompt": "cat", "members": [{"adapter": "ada/labels", "weight": 1.0}]}
    answer = client.post("/api/v1/generations/", body, content_type="application/json")
    assert answer.status_code == 400
    assert answer.json()["code"] == "not_served"
    assert "SEQ_CLS" in answer.json()["message"]


def test_plain_adapters_are_let_through(make: Callable[..., Adapter], ada: User) -> None:
    adapter = make("plain", task_type="CAUSAL_LM", features=["rslora", "dora", "rank_pattern"])
    assert start_generation(user=ada, members=[(adapter, 1.0)], prompt="cat").members[0].adapter == adapter


def test_two_tasks_are_not_merged(make: Callable[..., Adapter], ada: User) -> None:
    members = [(make("one", task_type="SEQ_CLS"), 1.0), (make("two", task_type="CAUSAL_LM"), 1.0)]
    verdict = plan_verdict(user=ada, members=members)
    assert "ada/two cannot be merged with ada/one: it was trained for the task CAUSAL_LM" in str(verdict)
    same = [(make("three", task_type="SEQ_CLS"), 1.0), (make("four", task_type=""), 1.0), members[0]]
    assert "cannot be merged" not in str(plan_verdict(user=ada, members=same))


def test_the_adapters_page_says_so_and_offers_no_try(make: Callable[..., Adapter], ada: User, client: Client) -> None:
    make("labels", task_type="SEQ_CLS")
    make("plain", task_type="CAUSAL_LM")
    labels, plain = (client.get(f"/ada/{name}").content.decode() for name in ("labels", "plain"))
    assert "no: it classifies whole texts (task SEQ_CLS)" in labels
    assert "/playground/?with=ada/labels" not in labels.replace("%2F", "/")
    assert "/playground/?with=ada/plain" in plain.replace("%2F", "/")


def test_they_are_found(make: Callable[..., Adapter], client: Client) -> None:
    make("labels", task_type="SEQ_CLS")
    results = client.get("/api/v1/adapters/").json()["results"]
    assert [adapter["name"] for adapter in results] == ["labels"]
