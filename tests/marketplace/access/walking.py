"""Every address of the site, and one request to it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from tests.marketplace.access.world import World, undone

#: Values for variables that do not name an adapter; ``World.things`` has those that are ids.
VALUES = {
    "revision": "main",
    "path": "adapter_config.json",
    "username": "reader",
    "alias": "another-m1",
    "key": "abc",
    "uidb36": "1",
    "sha256": "0" * 64,
}
PIECES = "application/offset+octet-stream"
#: Methods that change nothing.
READS = ("get", "head")


@dataclass(frozen=True)
class Address:
    """One entry of the URLconf. ``name`` is its name, ``variables`` those of its path."""

    name: str
    variables: frozenset[str]
    callback: Any
    rest: bool

    @property
    def of_adapters(self) -> bool:
        """Whether it speaks of one adapter."""
        return {"owner", "name"} <= self.variables

    def path(self, world: World, state: str) -> str:
        # The former name is one of the public adapter.
        commit = hashlib.sha1(("public" if state == "former" else state).encode()).hexdigest()
        known = {
            **VALUES,
            **world.things,
            "owner": "owner",
            "name": state if self.of_adapters else "m1",
            "commit": commit,
        }
        if self.name == "api-access-answer":
            known["username"] = "waiting"
        return reverse(self.name, kwargs={variable: known[variable] for variable in self.variables})

    def methods(self) -> list[str]:
        """What REST declares; pages are asked both ways, whatever they take."""
        view = getattr(self.callback, "cls", None)
        if not self.rest or view is None:
            return ["get", "post"]
        return [method for method in ("get", "post", "put", "patch", "delete") if hasattr(view, method)]


def addresses() -> Iterator[Address]:
    """All of them, but the administration, whose addresses Django makes."""
    yield from _below(get_resolver(), "")


def _below(resolver: URLResolver, prefix: str) -> Iterator[Address]:
    for entry in resolver.url_patterns:
        route = prefix + str(entry.pattern)
        if route.startswith("admin/"):
            continue
        if isinstance(entry, URLPattern):
            variables = frozenset(re.findall(r"<(?:\w+:)?(\w+)>", route))
            yield Address(str(entry.name), variables, entry.callback, route.startswith("api/v1/"))
        else:
            yield from _below(entry, route)


def ask(world: World, address: Address, method: str, role: str, state: str, body: dict[str, Any] | None) -> str:
    """The status of one request, ``in`` where somebody is sent to sign in; whatever it wrote is taken back."""
    client: Client = world.client(role)
    options: dict[str, Any] = {"headers": world.headers(role)}
    options["data"] = body or {}
    if method not in READS and address.rest:
        options["content_type"] = PIECES if address.name == "api-partial-upload" else "application/json"
    kept = dict(client.cookies)
    # What reading may write, a count of downloads, changes no other answer; a savepoint for each would cost a sixth.
    with nullcontext() if method in READS else undone():
        answer = getattr(client, method)(address.path(world, state), **options)
        read(answer)
    client.cookies.clear()
    client.cookies.update(kept)
    to_sign_in = answer.status_code == 302 and answer["Location"].startswith(settings.LOGIN_URL)
    return "in" if answer.status_code == 401 or to_sign_in else str(answer.status_code)


def read(answer: Any) -> None:
    """To the end, which closes the files behind it; ``close`` would close the database's connection, too."""
    if answer.streaming and not answer.is_async:
        for _ in answer:
            pass


def admin_paths() -> Iterator[str]:
    """The administration's addresses that name no row."""
    for entry in get_resolver().url_patterns:
        if isinstance(entry, URLResolver) and str(entry.pattern) == "admin/":
            yield from (f"/admin/{route}" for route in _routes(entry) if not re.search(r"[<(\[\\^$?]", route))


def _routes(resolver: URLResolver) -> Iterator[str]:
    for entry in resolver.url_patterns:
        if isinstance(entry, URLPattern):
            yield str(entry.pattern)
        else:
            yield from (str(entry.pattern) + route for route in _routes(entry))
