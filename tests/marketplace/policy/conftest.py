"""Every state of an adapter, and somebody of every kind to ask about it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, Group
from django.db import transaction
from django.utils import timezone

from marketplace import policy
from marketplace.accounts.models import User
from marketplace.adapters.models import AccessRequest, Adapter, Artifact, Blob, Collaborator, Version
from marketplace.moderation.groups import MODERATORS
from marketplace.policy import Action, Person

#: visibility × moderation × state of the artefact ("" is an adapter without a version) × how far it is deleted
COMBINATIONS = list(
    itertools.product(
        Adapter.Visibility.values, Adapter.Moderation.values, [*Artifact.State.values, ""], ["", "deleted", "purged"]
    )
)


@dataclass(frozen=True)
class World:
    """``adapters`` in every combination, all of one owner; ``people`` by what they are to each of them; ``rights`` says
    of each pair what may be done."""

    people: dict[str, Person]
    adapters: list[Adapter]
    rights: dict[tuple[str, int], frozenset[Action]]


@pytest.fixture(scope="module")
def world(django_db_setup: None, django_db_blocker: Any) -> Iterator[World]:
    """Made once for a file of tests; they only look."""
    with django_db_blocker.unblock(), transaction.atomic():
        people = _people()
        adapters = _adapters(people)
        rights = {
            (name, adapter.pk): policy.rights(person, adapter)
            for name, person in people.items()
            for adapter in adapters
        }
        yield World(people, adapters, rights)
        transaction.set_rollback(True)


def _people() -> dict[str, Person]:
    names = ["owner", "reader", "writer", "approved", "waiting", "refused", "stranger", "moderator"]
    people: dict[str, Person] = {name: User.objects.create(username=name) for name in names}
    people["moderator"].groups.add(Group.objects.get(name=MODERATORS))
    people["superuser"] = User.objects.create(username="superuser", is_superuser=True)
    people["suspended"] = User.objects.create(username="suspended", is_active=False)
    return {**people, "anonymous": AnonymousUser()}


def _adapters(people: dict[str, Any]) -> list[Adapter]:
    blob = Blob.objects.create(sha256="0" * 64, git_sha1="0" * 40, size=1)
    artifacts = {
        state: Artifact.objects.create(
            config_blob=blob,
            weights_blob=Blob.objects.create(sha256=f"{number}" * 64, git_sha1="0" * 40, size=1),
            state=state,
        )
        for number, state in enumerate(Artifact.State.values, start=1)
    }
    adapters = Adapter.objects.bulk_create(
        Adapter(
            owner=people["owner"],
            name=f"a{number}",
            visibility=visibility,
            moderation=moderation,
            deleted_at=timezone.now() if end else None,
            purged_at=timezone.now() if end == "purged" else None,
        )
        for number, (visibility, moderation, _, end) in enumerate(COMBINATIONS)
    )
    for adapter, (_, _, state, _) in zip(adapters, COMBINATIONS, strict=True):
        if state:
            adapter.current = Version.objects.create(adapter=adapter, artifact=artifacts[state], commit="0" * 40)
            adapter.save(update_fields=["current"])
    roles = {"reader": "read", "writer": "write", "suspended": "write"}
    Collaborator.objects.bulk_create(
        Collaborator(adapter=adapter, user=people[name], role=role)
        for adapter in adapters
        for name, role in roles.items()
    )
    AccessRequest.objects.bulk_create(
        AccessRequest(adapter=adapter, user=people[state], state=state)
        for adapter in adapters
        for state in ("approved", "waiting", "refused")
    )
    return list(
        Adapter.objects.select_related("owner", "current__artifact").filter(name__regex="^a[0-9]+$").order_by("pk")
    )
