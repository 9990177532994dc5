"""Bytes that the block list deleted: pages and REST say so, and show the rest."""

from __future__ import annotations

import io
import json
import zipfile

import pytest
from django.test import Client

from marketplace.accounts.models import User
from marketplace.adapters import services
from marketplace.adapters.garbage import collect_garbage
from marketplace.adapters.gone import gone_files, readable_card
from marketplace.adapters.history import compare_versions
from marketplace.adapters.models import Adapter, Version
from marketplace.core.store import blob_store
from marketplace.moderation.blocking import block_digest
from tests.marketplace.adapters.conftest import MakeUpload

pytestmark = pytest.mark.django_db

API = "/api/v1/adapters/ada/plural/"


@pytest.fixture
def adapter(ada: User, make_upload: MakeUpload) -> Adapter:
    """Two versions with the same config and weights and another card, seen by their owner."""
    adapter = services.publish_upload(user=ada, upload=make_upload(ada), name="plural", visibility="public")
    services.edit_adapter(user=ada, adapter=adapter, description="Other words.")
    adapter.refresh_from_db()
    return adapter


@pytest.fixture
def owner(client: Client, ada: User) -> Client:
    client.force_login(ada)
    return client


def delete(path: str, adapter: Adapter, moderator: User) -> None:
    assert adapter.current is not None
    digest = adapter.current.files.get(path=path).blob_id
    block_digest(moderator=moderator, sha256=digest, reason="Private data.")
    collect_garbage()
    assert not blob_store().has(digest)


@pytest.mark.parametrize("path", ["README.md", "adapter_config.json", "adapter_model.safetensors"])
def test_pages_show_the_rest_and_say_what_is_deleted(
    path: str, adapter: Adapter, owner: Client, moderator: User
) -> None:
    delete(path, adapter, moderator)
    page = owner.get("/ada/plural")
    assert page.status_code == 200
    assert "A moderator blocked these bytes" in page.content.decode()
    assert page.context["gone"] == [path]
    assert ("Other words." in page.context["card"]) == (path != "README.md")
    versions = owner.get("/ada/plural/versions")
    assert (versions.status_code, b">deleted<" in versions.content) == (200, True)
    compared = owner.get("/ada/plural/compare")
    assert compared.status_code == 200
    assert "A moderator blocked these bytes" in compared.content.decode()


@pytest.mark.parametrize("path", ["README.md", "adapter_config.json", "adapter_model.safetensors"])
def test_downloads_of_them_are_gone(path: str, adapter: Adapter, owner: Client, moderator: User) -> None:
    assert adapter.current is not None
    delete(path, adapter, moderator)
    for address in (
        f"{API}files/main/{path}",
        f"/ada/plural/files/{adapter.current.commit}/{path}",
        f"{API}archive/main.zip",
    ):
        answer = owner.get(address, headers={"Accept": "application/json"})
        assert (answer.status_code, answer.json()["code"]) == (410, "bytes_gone"), address
    assert owner.head(f"{API}files/main/{path}").status_code == 410


def test_rest_says_that_a_card_is_deleted(adapter: Adapter, owner: Client, moderator: User) -> None:
    delete("README.md", adapter, moderator)
    answer = owner.get(f"{API}card/")
    assert (answer.status_code, answer.json()["code"]) == (410, "bytes_gone")
    assert "a moderator blocked them" in answer.json()["message"]
    assert owner.get(f"{API}compare/").json()["gone"] == ["README.md"]


def test_comparing_what_is_deleted(ada: User, adapter: Adapter, moderator: User) -> None:
    before = compare_versions(user=ada, adapter=adapter)
    assert (before.gone, bool(before.card)) == ([], True)
    delete("README.md", adapter, moderator)
    after = compare_versions(user=ada, adapter=adapter)
    assert (after.gone, after.card) == (["README.md"], [])
    assert [change.path for change in after.files] == ["README.md"]


def test_the_files_of_an_account_come_without_them(ada: User, adapter: Adapter, owner: Client, moderator: User) -> None:
    delete("README.md", adapter, moderator)
    version = Version.objects.get(pk=adapter.current_id)
    assert (gone_files(version), readable_card(version), readable_card(None)) == (["README.md"], "", "")
    answer = owner.get("/api/v1/me/export/")
    assert answer.status_code == 200
    with zipfile.ZipFile(io.BytesIO(b"".join(answer.streaming_content))) as archive:  # type: ignore[attr-defined]
        assert archive.testzip() is None
        assert json.loads(archive.read("adapters.json"))[0]["name"] == "plural"
