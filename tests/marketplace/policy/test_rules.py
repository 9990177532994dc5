"""The rule about a row and the rule about rows say the same, for everybody, in every state; and some rules by name."""

from __future__ import annotations

import itertools

import pytest

from marketplace import policy
from marketplace.adapters import selectors
from marketplace.adapters.models import Adapter
from marketplace.core.errors import AppError, Forbidden, NotFound
from marketplace.policy import Action
from tests.marketplace.policy.conftest import COMBINATIONS, World

pytestmark = pytest.mark.django_db


def test_rows_and_queries_agree(world: World) -> None:
    for role, person in world.people.items():
        for action in Action:
            of_query = set(Adapter.objects.filter(policy.allowed(person, action)).values_list("pk", flat=True))
            for adapter, combination in zip(world.adapters, COMBINATIONS, strict=True):
                said = action in world.rights[role, adapter.pk]
                assert said is (adapter.pk in of_query), (role, action, combination)


def test_one_question_gives_the_same_as_all(world: World) -> None:
    adapter = world.adapters[0]
    for action in Action:
        assert policy.may(world.people["writer"], action, adapter) is (action in world.rights["writer", adapter.pk])


@pytest.mark.parametrize("role", ["anonymous", "stranger", "reader", "writer", "owner", "moderator"])
def test_refusals_follow_the_rules(world: World, role: str) -> None:
    """What may be done is not refused; what may not be seen is not there, without a name; the rest has own words."""
    person = world.people[role]
    for adapter, combination in zip(world.adapters, COMBINATIONS, strict=True):
        held = world.rights[role, adapter.pk]
        for action in (Action.DOWNLOAD, Action.USE, Action.EDIT, Action.ADMINISTER, Action.ASK):
            if action in held or combination[-1] == "purged":
                continue
            with pytest.raises(AppError) as raised:
                policy.require(person, action, adapter)
            assert (raised.type is NotFound) or Action.VIEW in held, (role, action, combination)
            named = adapter.full_name in str(raised.value)
            assert named is bool(held & {Action.VIEW, Action.SEE_TOMBSTONE}), (role, action, combination)


def test_greater_rights_include_smaller_ones(world: World) -> None:
    ladder = [Action.ADMINISTER, Action.EDIT, Action.SEE_DRAFTS, Action.DOWNLOAD, Action.VIEW]
    for (role, key), held in world.rights.items():
        adapter = next(adapter for adapter in world.adapters if adapter.pk == key)
        for greater, smaller in itertools.pairwise(ladder):
            # The owner of what was removed keeps the page, not the files.
            if greater in held and not (smaller == Action.DOWNLOAD and adapter.moderation == "removed"):
                assert smaller in held, (role, greater, smaller, adapter.name)
        assert Action.DOWNLOAD in held or Action.USE not in held, (role, adapter.name)
        assert Action.VIEW in held or Action.LIST not in held, (role, adapter.name)


def test_suspended_accounts_and_waiting_requests_count_for_nothing(world: World) -> None:
    for adapter in world.adapters:
        nobody, stranger = world.rights["anonymous", adapter.pk], world.rights["stranger", adapter.pk]
        assert world.rights["suspended", adapter.pk] == nobody
        assert world.rights["waiting", adapter.pk] == world.rights["refused", adapter.pk] == stranger
        assert stranger - {Action.ASK} == nobody


def _in_order(world: World, visibility: str) -> Adapter:
    return world.adapters[COMBINATIONS.index((visibility, "visible", "valid", ""))]


def test_gated(world: World) -> None:
    adapter = _in_order(world, "gated")
    seen = {Action.LIST, Action.VIEW}
    assert policy.rights(world.people["stranger"], adapter) == seen | {Action.ASK}
    assert policy.rights(world.people["moderator"], adapter) == seen | {Action.ASK}
    assert policy.rights(world.people["approved"], adapter) == seen | {Action.DOWNLOAD, Action.USE}
    assert policy.rights(world.people["reader"], adapter) == seen | {Action.DOWNLOAD, Action.USE}
    with pytest.raises(Forbidden) as raised:
        policy.require(world.people["stranger"], Action.DOWNLOAD, adapter)
    assert raised.value.code == "access_required"
    assert raised.value.extra == {"ask_at": f"/{adapter.full_name}/access"}


def test_private(world: World) -> None:
    adapter = _in_order(world, "private")
    used = {Action.LIST, Action.VIEW, Action.DOWNLOAD, Action.USE}
    for name in ("anonymous", "stranger", "approved", "moderator", "superuser"):
        assert policy.rights(world.people[name], adapter) == set(), name
    assert policy.rights(world.people["reader"], adapter) == used
    written = used | {Action.SEE_DRAFTS, Action.EDIT}
    assert policy.rights(world.people["writer"], adapter) == written
    assert policy.rights(world.people["owner"], adapter) == written | {Action.ADMINISTER}


def test_earlier_versions_count_by_their_own_state(world: World) -> None:
    adapter = _in_order(world, "public")
    waiting = world.adapters[COMBINATIONS.index(("public", "visible", "pending", ""))].current
    assert policy.may(world.people["stranger"], Action.DOWNLOAD, adapter)
    assert not policy.may(world.people["stranger"], Action.DOWNLOAD, adapter, version=waiting)
    assert policy.may(world.people["owner"], Action.DOWNLOAD, adapter, version=waiting)


def test_selectors_read_by_the_same_rules(world: World) -> None:
    for role, person in world.people.items():
        seen = {adapter.pk for adapter in world.adapters if Action.VIEW in world.rights[role, adapter.pk]}
        assert set(selectors.visible_adapters(person).values_list("pk", flat=True)) == seen
