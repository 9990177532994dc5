"""Halves of surrogate pairs and NUL, wherever JSON or YAML lets people write them, are refused in words or stored as
the replacement character. No answer can be encoded with them, and PostgreSQL keeps none."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from marketplace.accounts.models import User
from marketplace.adapters.models import Adapter
from marketplace.core.errors import Invalid

pytestmark = pytest.mark.django_db
ODD, ESCAPED = ("\ud800x", "\0x"), (r"\ud800", r"\0")
PARENT = {"weights": "a" * 64, "config": "b" * 64, "weight": 1.0}
MERGE: dict[str, Any] = {
    "members": [{"adapter": "ada/plural"}, {"adapter": "ada/past"}],
    "method": "cat",
    "name": "both",
}


@pytest.fixture
def client(ada: User, make_adapter: Callable[..., Adapter]) -> Client:
    for name in ("plural", "past"):
        artifact = make_adapter(ada, name, base="tiny", license="mit").current.artifact
        artifact.modules = [
            {"name": "layers.0.q_proj", "rank": 8, "d_in": 16, "d_out": 16, "norm": 1.0, "effective_rank": 4.0}
        ]
        artifact.summary = {"features": [], "task_type": "CAUSAL_LM"}
        artifact.save()
    client = Client(raise_request_exception=False)
    client.force_login(ada)
    return client


def send(client: Client, address: str, body: Any, method: str = "post") -> Any:
    return getattr(client, method)(f"/api/v1{address}", json.dumps(body), content_type="application/json")


@pytest.mark.parametrize("odd", ODD)
def test_lines_of_suites(client: Client, odd: str) -> None:
    def add(line: dict[str, Any]) -> Any:
        return send(client, "/suites/", {"name": "S", "lines": json.dumps({"prompt": "a", "expected": "b"} | line)})

    refused = add({odd: 1})
    assert refused.status_code == 400
    assert "is not known here" in refused.json()["message"]
    assert "\N{REPLACEMENT CHARACTER}" in refused.json()["extra"]["fields"]["lines"][0]
    assert add({"prompt": odd, "task": odd}).status_code == 201
    typed = {"name": "S", "visibility": "private", "lines": json.dumps({"prompt": "a", odd: "b"})}
    assert client.post("/suites/new", typed).status_code == 400


def _changes(odd: str) -> list[dict[str, Any]]:
    return [
        {"options": {odd: 1}},
        {"options": {"density": odd}, "output": {odd: 1}},
        {"output": {"rank": odd, "include": [odd]}},
        {"output": {"ranks": [{"modules": odd, "rank": 2}]}},
        {"ranks": [odd, {odd: 0.5}]},
        {"method": odd, "methods": [odd]},
        {"members": [{"adapter": f"ada/{odd}", odd: 1}]},
        {"suite": odd, "examples": [{"prompt": "a", "expected": "b", odd: odd}]},
        {"title": odd, "idempotency_key": odd, odd: odd},
    ]


@pytest.mark.parametrize("address", ["/merges/", "/merges/check/", "/merges/previews/", "/merges/sweeps/"])
def test_settings_of_merges(client: Client, address: str) -> None:
    usual = MERGE | {"prompts": ["x"], "examples": [{"prompt": "a", "expected": "b"}]}
    for change in (change for odd in ODD for change in _changes(odd)):
        assert send(client, address, usual | change).status_code < 429, change


@pytest.mark.parametrize("odd", ODD)
def test_recipes(client: Client, odd: str) -> None:
    usual: dict[str, Any] = {"method": "cat", "parents": [PARENT, PARENT], "options": {}}
    for change in (
        {"parents": [PARENT | {"label": odd}, PARENT]},
        {"options": {odd: odd}},
        {odd: 1},
        {"parents": [PARENT | {odd: odd}]},
        {"method": odd},
        {"output": {"include": [odd]}},
    ):
        recipe = usual | change
        assert 400 <= send(client, "/merges/recipes/", {"name": "again", "recipe": recipe}).status_code < 429, change
        assert client.post("/combine/from-file", {"text": json.dumps(recipe)}).status_code < 429, change


@pytest.mark.parametrize("odd", ESCAPED)
def test_files_of_mergekit(client: Client, odd: str) -> None:
    both = "\nmodels:\n  - model: tiny+ada/plural\n  - model: tiny+ada/past"
    for text in (
        f'merge_method: "{odd}"{both}',
        f'"{odd}": 1\nmerge_method: linear{both}',
        f'merge_method: linear\nmodels:\n  - model: "tiny+ada/plural{odd}"\n    parameters: {{"{odd}": 1}}',
        f'merge_method: linear\nparameters: {{"{odd}": "{odd}"}}{both}',
    ):
        assert 400 <= send(client, "/merges/recipes/", {"name": "again", "mergekit": text}).status_code < 429, text
        assert client.post("/combine/from-file", {"text": text}).status_code < 429, text


@pytest.mark.parametrize("odd", ESCAPED)
def test_cards(client: Client, odd: str) -> None:
    for front in (f'"{odd}": 1', f'license: "{odd}"', f'tags: ["{odd}"]', f'widget: [{{text: "{odd}"}}]'):
        card = f"---\n{front}\n---\n# Card\n"
        assert send(client, "/cards/preview/", {"text": card}).status_code < 429, front
        assert send(client, "/adapters/ada/plural/card/", {"text": card}, "put").status_code < 429, front
        assert client.get("/ada/plural").status_code == 200
        assert client.get("/api/v1/adapters/ada/plural/").status_code == 200


@pytest.mark.parametrize("odd", ODD)
def test_other_bodies(client: Client, odd: str) -> None:
    bodies: list[tuple[str, str, Any]] = [
        ("post", "/mixes/", {"name": "m", "members": [{"adapter": "ada/plural", odd: 1}], "description": odd, odd: 1}),
        ("post", "/generations/", {"members": MERGE["members"], "prompt": odd, "stop": [odd], odd: 1}),
        ("patch", "/adapters/ada/plural/", {"tags": [odd], "license": odd, "examples": [{"prompt": odd, odd: 1}]}),
        ("patch", "/adapters/ada/plural/", {"title": odd, "description": odd, "visibility": odd}),
        ("patch", "/me/letters/", {odd: True}),
        ("post", "/watches/", {"subject": odd, "every": odd}),
        (
            "post",
            "/suites/",
            {"name": odd, "lines": '{"prompt": "a", "expected": "b"}', "visibility": odd, "base": odd},
        ),
        ("post", "/adapters/ada/plural/report/", {"reason": odd, "text": odd}),
        ("post", "/imports/", {"source": odd, "url": odd, odd: 1}),
        ("patch", "/me/", {"display_name": odd}),
        ("post", "/tokens/", {"name": odd, "scopes": [odd]}),
        ("post", "/adapters/ada/plural/partners/", {"candidates": [odd]}),
        ("post", "/merges/comparisons/", {"members": [{"adapter": odd}]}),
        ("post", "/notifications/read/", {"ids": [odd]}),
        ("post", "/suites/", [odd]),
    ]
    for method, address, body in bodies:
        answer = send(client, address, body, method)
        assert answer.status_code < 429, (address, answer.content)


def test_errors_repeat_what_was_sent_without_what_cannot_be_said() -> None:
    error = Invalid("“\ud800” is unknown.", extra={"fields": {"\0": ["\udfff"]}})
    assert error.message == str(error) == "“\N{REPLACEMENT CHARACTER}” is unknown."
    assert error.extra == {"fields": {"\N{REPLACEMENT CHARACTER}": ["\N{REPLACEMENT CHARACTER}"]}}
