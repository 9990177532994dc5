"""The pages of bases: everybody reads, staff writes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from marketplace.accounts.models import User
from marketplace.accounts.names import is_reserved
from marketplace.adapters.models import Adapter
from marketplace.bases.models import Base, BaseChoice
from marketplace.jobs.models import Job
from tests.marketplace.bases.conftest import MakeBase

pytestmark = pytest.mark.django_db


def _text(client: Client, address: str, status: int = 200) -> str:
    answer = client.get(address)
    assert answer.status_code == status
    return answer.content.decode()


def test_everybody_reads(client: Client, ada: User, make_base: MakeBase, make_adapter: Any) -> None:
    assert "No base yet" in _text(client, "/bases/")
    root = make_base("org/root", license="mit", parameters=135_000_000)
    base = make_base(
        "org/tuned", source="/srv/secret-place", parent=root, chat_template="<script>alert(1)</script>{{ x }}",
        config={"model_type": "llama", "hidden_size": 2048, "tie_word_embeddings": True, "vocab_size": {"odd": 1}},
        fingerprint="a" * 64, tokenizer_hash="b" * 64, notes=["A note."],
    )  # fmt: skip
    make_adapter(ada, "public", base=base)
    make_adapter(ada, "out-of-sight", base=base, visibility="private")
    listed = _text(client, "/bases/")
    assert "org/root" in listed
    assert "1 adapter<" in listed
    assert "Register a base" not in listed
    page = _text(client, "/bases/org/tuned/")
    assert "&lt;script&gt;alert(1)" in page
    assert "<script>alert(1)" not in page
    for words in (
        "2,048",
        "model.layers.*.mlp.up_proj",
        "64 × 16",
        "A note.",
        "a" * 16,
        "b" * 16,
        "org/root",
        "public",
    ):
        assert words in page
    for words in ("/srv/secret-place", "Administer", "out-of-sight", "{&#x27;odd"):
        assert words not in page
    assert client.get("/bases/ORG/Tuned/").headers["Location"] == "/bases/org/tuned/"
    _text(client, "/bases/org/none/", 404)


def test_the_list_is_searched_and_paged(client: Client, make_base: MakeBase) -> None:
    for number in range(35):
        make_base(f"org/base-{number:02}")
    Base.objects.filter(name="org/base-07").update(state=Base.State.FAILED, fault="The hub is away.")
    first = _text(client, "/bases/")
    assert "org/base-29" in first
    assert "org/base-30" not in first
    assert 'rel="next"' in first
    found = _text(client, "/bases/?state=failed")
    assert "The hub is away." in found
    assert "org/base-08" not in found
    assert "No base matches" in _text(client, "/bases/?q=nothing")
    assert "org/base-34" in _text(client, "/bases/?q=E-34")


def test_only_staff_writes(client: Client, ada: User, make_base: MakeBase) -> None:
    make_base("org/tiny")
    posts = ["register/", "org/tiny/change/", "org/tiny/reading/", "org/tiny/aliases/", "org/tiny/delete/"]
    for address in posts:
        assert client.post(f"/bases/{address}").headers["Location"].startswith("/account/login/")
    client.force_login(ada)
    for address in posts:
        assert client.post(f"/bases/{address}", {"alias": "x", "name": "y"}).status_code == 403
    for address in ("register/", "org/tiny/delete/"):
        assert client.get(f"/bases/{address}").status_code == 403
    assert Base.objects.count() == 1


def test_staff_registers_and_changes(client: Client, staff: User, folder: Path) -> None:
    client.force_login(staff)
    assert "Left empty, the name" in _text(client, "/bases/register/")
    wrong = client.post("/bases/register/", {"name": "a/b/c", "source": "/nowhere"})
    assert wrong.status_code == 422
    assert "at most one slash" in wrong.content.decode()
    assert "There is no config.json in /nowhere." in wrong.content.decode()
    form = {"name": "org/tiny", "source": str(folder), "aliases": "house/tiny\nHouse/Tiny-4bit", "served": "on"}
    assert client.post("/bases/register/", form).headers["Location"] == "/bases/org/tiny/"
    page = _text(client, "/bases/org/tiny/")
    assert "A worker reads it." in page
    assert f"/jobs/{Job.objects.get().pk}" in page
    assert str(folder) in page
    assert "house/tiny-4bit" in page
    Job.objects.update(state="failed")
    Base.objects.update(state=Base.State.FAILED, fault="No such file.")
    assert "Try again" in _text(client, "/bases/org/tiny/")
    assert client.post("/bases/org/tiny/reading/").status_code == 302
    assert Base.objects.get().state == Base.State.PENDING
    client.post("/bases/org/tiny/change/", {"license": "mit", "parent": ""})
    assert (Base.objects.get().license, Base.objects.get().served) == ("mit", False)
    bad = client.post("/bases/org/tiny/aliases/", {"alias": " "})
    assert bad.status_code == 422
    client.post("/bases/org/tiny/aliases/", {"remove": "house/tiny"})
    assert Base.objects.get().aliases.count() == 1
    assert "Keep it" in _text(client, "/bases/org/tiny/delete/")
    assert client.post("/bases/org/tiny/delete/").headers["Location"] == "/bases/"
    assert not Base.objects.exists()


def test_owners_answer_on_the_adapters_page(
    client: Client, ada: User, bob: User, waiting: Callable[..., Adapter], make_base: MakeBase
) -> None:
    root = make_base("org/root")
    make_base("org/twin")
    make_base("org/wide", 64)
    waiting(ada, "mine", "./out")
    seen = _text(client, "/ada/mine")
    assert "These tensors fit" in seen
    assert 'href="/bases/org/twin/"' in seen
    assert "Which base is it?" not in seen
    client.force_login(bob)
    assert client.post("/bases/answer/ada/mine/", {"base": "org/root"}).status_code == 302
    assert Adapter.objects.get(name="mine").base is None
    client.force_login(ada)
    page = _text(client, "/ada/mine")
    assert "These tensors fit org/root and org/twin." in page
    assert '<option value="org/wide"' not in page
    client.post("/bases/answer/ada/mine/", {"base": "org/wide"})
    assert "The adapter does not fit org/wide." in _text(client, "/ada/mine")
    client.post("/bases/answer/ada/mine/", {"base": "org/root"})
    assert Adapter.objects.get(name="mine").base == root
    assert BaseChoice.objects.get().base == root
    assert '<option value="org/root" selected>' in _text(client, "/ada/mine")


def test_the_owner_name_is_reserved() -> None:
    assert is_reserved("bases")
