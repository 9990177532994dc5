"""Similar adapters: near in meaning, near-duplicates by weights, only what the asker may see."""

from __future__ import annotations

import math
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import AnonymousUser

from marketplace.accounts.models import User
from marketplace.adapters.models import Adapter, Embedding
from marketplace.adapters.selectors import similar_adapters

pytestmark = pytest.mark.django_db


def at(adapter: Adapter, degrees: float, encoder: str = settings.ENCODER) -> Adapter:
    """Give the adapter's description the direction ``degrees``."""
    angle = math.radians(degrees)
    vector = [math.cos(angle), math.sin(angle)]
    Embedding.objects.create(adapter=adapter, encoder=encoder, kind="description", text_digest="", embedding=vector)
    return adapter


def signed(adapter: Adapter, degrees: float) -> Adapter:
    """Give the adapter's weights a signature in the direction ``degrees``."""
    angle = math.radians(degrees)
    artifact = adapter.current.artifact  # type: ignore[union-attr]
    artifact.signature = [math.cos(angle), math.sin(angle)] + [0.0] * 254
    artifact.save(update_fields=["signature"])
    return adapter


def test_nearest_in_meaning_first_and_far_ones_left_out(make_adapter: Any, ada: User) -> None:
    own = at(make_adapter(ada, "own"), 0)
    at(make_adapter(ada, "near"), 10)
    at(make_adapter(ada, "middle"), 40)
    at(make_adapter(ada, "far"), 80)
    at(make_adapter(ada, "other-encoder"), 0, encoder="old")
    at(make_adapter(ada, "hidden", visibility="private"), 1)
    found = similar_adapters(user=AnonymousUser(), adapter=own)
    assert [hit.adapter.name for hit in found] == ["near", "middle"]
    assert found[0].meaning == pytest.approx(math.cos(math.radians(10)), abs=1e-3)
    assert [hit.adapter.name for hit in similar_adapters(user=ada, adapter=own, limit=1)] == ["hidden"]


def test_near_duplicates_come_before_all(make_adapter: Any, ada: User) -> None:
    own = signed(at(make_adapter(ada, "own"), 0), 0)
    at(make_adapter(ada, "near"), 5)
    signed(make_adapter(ada, "copy"), 3)
    signed(make_adapter(ada, "relative"), 30)
    found = similar_adapters(user=AnonymousUser(), adapter=own)
    assert [(hit.adapter.name, hit.near_duplicate) for hit in found] == [("copy", True), ("near", False)]
    assert found[0].weights == pytest.approx(math.cos(math.radians(3)), abs=1e-3)
    assert found[0].meaning is None


def test_nothing_is_similar_before_there_is_a_vector(make_adapter: Any, ada: User) -> None:
    at(make_adapter(ada, "other"), 0)
    assert similar_adapters(user=ada, adapter=make_adapter(ada, "own")) == []
