"""Walks every address of the site in every role, and for those that speak of an adapter in every state of one.

What is expected stands in ``table`` (addresses) and ``grids`` (answers). Reading is walked whole; writing too, for the
visibilities, and elsewhere in the roles at the boundaries.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import transaction
from django.test import override_settings
from rest_framework.throttling import SimpleRateThrottle

from marketplace.adapters.models import Adapter
from tests.marketplace.access import walking
from tests.marketplace.access.grids import LOAD, row_of
from tests.marketplace.access.table import LIBRARY, LINES, Line
from tests.marketplace.access.walking import READS, Address, addresses
from tests.marketplace.access.world import PEOPLE, ROLES, STATES, World, build, export_of, undone

pytestmark = pytest.mark.django_db
_BY_NAME = {line.name: line for line in LINES}
_VISIBILITIES = {"public", "gated", "private"}
#: Whose answers change with the other states; everybody else's follow from these.
_STANDING = {"anonymous", "stranger", "approved", "reader", "writer", "owner", "moderator"}
_WRITING = {"writer", "owner"}


@pytest.fixture(scope="module")
def world(django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    store = f"file://{tmp_path_factory.mktemp('walk')}"
    # Sessions in signed cookies are one query less per request.
    sessions = "django.contrib.sessions.backends.signed_cookies"
    changed = override_settings(BLOB_STORE_URL=store, SESSION_ENGINE=sessions)
    with django_db_blocker.unblock(), changed, transaction.atomic():
        yield build()
        transaction.set_rollback(True)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Rates and templates are other tests' matter, and nobody reads thousands of lines of log."""
    monkeypatch.setattr(SimpleRateThrottle, "allow_request", lambda *_: True)
    monkeypatch.setattr("django.template.backends.django.Template.render", lambda *_: "")
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def test_every_address_has_its_line() -> None:
    known = {line.name for line in LINES} | LIBRARY
    found = {address.name for address in addresses()}
    assert found - known == set(), "say in table.py what these answer, and to whom"
    assert known - found == set(), "these are gone from the site"


def _methods() -> list[Any]:
    return [
        pytest.param(address, method, id=f"{address.name}-{method}")
        for address in addresses()
        if address.name in _BY_NAME
        for method in sorted({*address.methods(), *_BY_NAME[address.name].answers})
    ]


@pytest.mark.parametrize(("address", "method"), _methods())
def test_walk(world: World, address: Address, method: str) -> None:
    line = _BY_NAME[address.name]
    roles = ROLES if address.rest else ["anonymous", *PEOPLE]
    if method not in line.answers:
        assert walking.ask(world, address, method, "owner", "public", {}) in ("405", "in"), "not in the table"
        return
    wrong = []
    for role in roles:
        row = row_of(line.answers[method], role, rest=address.rest, writes=method not in READS)
        for state, expected in zip(STATES, row, strict=True):
            if not _is_walked(line, address, method, role, state):
                continue
            if state == "former" and method in READS and not address.rest:
                expected = "ok"  # A redirect to the present address, where the same is asked.
            body = line.bodies[method](world, role, state) if method in line.bodies else {}
            got = walking.ask(world, address, method, role, state, body)
            if not _fits(got, expected):
                wrong.append(f"{role} {state}: {got}, expected {expected}")
    assert wrong == []


def _is_walked(line: Line, address: Address, method: str, role: str, state: str) -> bool:
    if not (address.of_adapters or line.by_body):
        return state == "public"
    boundary = _STANDING if method in READS else _WRITING
    return state in _VISIBILITIES or role in boundary


def _fits(got: str, expected: str) -> bool:
    if expected == "no":
        return got in ("400", "409", "422")
    if expected == "ok":
        # The gate is passed; what is then said of the body is other tests' matter.
        return got[0] == "2" or got in ("302", "304", "400", "409", "415", "422")
    return got == expected


@pytest.mark.parametrize("role", ["stranger", "approved", "reader", "writer", "owner", "moderator"])
def test_files_of_an_export_are_open_as_long_as_the_adapter_is(world: World, role: str) -> None:
    """Also to whoever made it: access that was withdrawn, a private adapter, one that was taken down."""
    # A deleted adapter is told of at its own address alone.
    row = ["404" if answer == "410" else answer for answer in row_of(LOAD, role, rest=True, writes=False)]
    wrong = []
    for state, expected in zip(STATES, row, strict=True):
        adapter = Adapter.objects.get(name="public" if state == "former" else state)
        with undone():
            job = export_of(world.people[role], adapter)
            for path in (f"/api/v1/exports/{job.pk}/archive.zip", f"/exports/{job.pk}/files/adapter_config.json"):
                answer = world.client(role).get(path)
                walking.read(answer)
                got = str(answer.status_code)
                if not _fits(got, expected):
                    wrong.append(f"{path} {state}: {got}, expected {expected}")
    assert wrong == []


def test_the_administration_is_for_staff(world: World) -> None:
    """Its addresses are Django's; whoever is not staff is sent to sign in from every one of them."""
    found = [path for path in walking.admin_paths() if not path.endswith(("/login/", "/logout/"))]
    assert len(found) > 20
    for path in found:
        for role in ("anonymous", "stranger", "owner", "suspended"):
            answer = world.client(role).get(path)
            assert answer.status_code == 302, (role, path)
            assert "/login/" in answer["Location"], (role, path)
