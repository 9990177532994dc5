"""Rows that many tests need: people, and adapters as they stand after a successful check."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.core.cache import cache

from marketplace.accounts.models import User
from marketplace.adapters.models import Adapter, Artifact, Blob, Version
from marketplace.bases.models import Base
from marketplace.core.redis import redis_client
from marketplace.moderation.groups import MODERATORS

PASSWORD = "correct horse battery"

MakePerson = Callable[..., User]
MakeAdapter = Callable[..., Adapter]


@pytest.fixture(autouse=True)
def _empty_redis() -> None:
    """Rate limits and waiting messages of one test must not meet another's."""
    cache.clear()
    redis_client().flushdb()


@pytest.fixture
def make_person(db: None) -> MakePerson:
    def make(name: str, *, moderator: bool = False, **fields: Any) -> User:
        fields.setdefault("email", f"{name}@example.org")
        fields.setdefault("is_staff", moderator)
        person = User.objects.create_user(name, password=PASSWORD, **fields)
        if moderator:
            person.groups.add(Group.objects.get(name=MODERATORS))
        return person

    return make


@pytest.fixture
def ada(make_person: MakePerson) -> User:
    return make_person("ada")


@pytest.fixture
def bob(make_person: MakePerson) -> User:
    return make_person("bob")


@pytest.fixture
def moderator(make_person: MakePerson) -> User:
    return make_person("mo", moderator=True)


def _blob(text: str) -> Blob:
    digest = hashlib.sha256(text.encode()).hexdigest()
    return Blob.objects.get_or_create(sha256=digest, defaults={"git_sha1": digest[:40], "size": len(text)})[0]


@pytest.fixture
def make_adapter(db: None) -> MakeAdapter:
    """``make_adapter(owner, name, **fields)``: a public adapter with one valid version. ``rank`` and ``weights``
    (text that stands for the bytes) go to the artefact, ``base`` may be a name."""
    numbers = itertools.count(1)

    def make(owner: User, name: str, *, rank: int = 8, weights: str = "", **fields: Any) -> Adapter:
        number = next(numbers)
        base = fields.pop("base", None)
        if isinstance(base, str):
            base = Base.objects.get_or_create(name=base, defaults={"source": base, "state": Base.State.READY})[0]
        artifact = Artifact.objects.create(
            config_blob=_blob(f"config {number}"),
            weights_blob=_blob(weights or f"weights {number}"),
            state=Artifact.State.VALID,
            rank=rank,
            base=base,
        )
        fields.setdefault("visibility", Adapter.Visibility.PUBLIC)
        fields.setdefault("base_name", base.name if base else "")
        adapter = Adapter.objects.create(owner=owner, name=name, base=base, **fields)
        adapter.current = Version.objects.create(
            adapter=adapter,
            artifact=artifact,
            commit=hashlib.sha1(f"{owner.pk}/{name}".encode()).hexdigest(),
            author=owner,
            message="First version",
        )
        adapter.save(update_fields=["current"])
        return adapter

    return make
