"""Every state of an adapter, and somebody of every kind to ask about it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.utils import timezone

from marketplace.accounts.models import User
from marketplace.adapters.models import AccessRequest, Adapter, Artifact, Collaborator
from marketplace.policy import Person

#: visibility × moderation × state of the artefact ("" is an adapter without a version) × how far it is deleted
COMBINATIONS = list(
    itertools.product(
        Adapter.Visibility.values, Adapter.Moderation.values, [*Artifact.State.values, ""], ["", "deleted", "purged"]
    )
)


@dataclass(frozen=True)
class World:
    """``adapters`` in every combination, all of one owner; ``people`` by what they are to each of them."""

    people: dict[str, Person]
    adapters: list[Adapter]


@pytest.fixture
def world(make_person: Callable[..., User], make_adapter: Callable[..., Adapter]) -> World:
    names = ["owner", "reader", "writer", "approved", "waiting", "refused", "stranger"]
    people: dict[str, Person] = {name: make_person(name) for name in names}
    people |= {
        "moderator": make_person("mo", moderator=True),
        "superuser": User.objects.create_superuser("boss", password="x"),
        "suspended": make_person("suspended", is_active=False),
        "anonymous": AnonymousUser(),
    }
    adapters = [_adapter(make_adapter, people, number, *found) for number, found in enumerate(COMBINATIONS)]
    rows = Adapter.objects.select_related("owner", "current__artifact")
    return World(people, list(rows.filter(pk__in=[adapter.pk for adapter in adapters]).order_by("pk")))


def _adapter(
    make_adapter: Any, people: dict[str, Any], number: int, visibility: str, moderation: str, state: str, end: str
) -> Adapter:
    adapter: Adapter = make_adapter(people["owner"], f"a{number}", visibility=visibility, moderation=moderation)
    assert adapter.current is not None
    if state:
        Artifact.objects.filter(pk=adapter.current.artifact_id).update(state=state)
    adapter.current = adapter.current if state else None
    adapter.deleted_at = timezone.now() if end else None
    adapter.purged_at = timezone.now() if end == "purged" else None
    adapter.save()
    for name, role in [("reader", "read"), ("writer", "write"), ("suspended", "write")]:
        Collaborator.objects.create(adapter=adapter, user=people[name], role=role)
    for name in ("approved", "waiting", "refused"):
        AccessRequest.objects.create(adapter=adapter, user=people[name], state=name)
    return adapter
