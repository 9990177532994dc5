"""Everything about a person in one zip, and nothing of others."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from marketplace.accounts import export, services
from marketplace.accounts.models import User
from marketplace.adapters.models import Adapter
from marketplace.adapters.services import delete_adapter
from marketplace.core.store import blob_store
from marketplace.moderation import services as moderation
from marketplace.moderation.models import AuditEntry
from tests.marketplace.adapters.conftest import (
    adapter_files,
    make_upload,  # noqa: F401
)
from tests.marketplace.adapters.life.conftest import publish  # noqa: F401

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def own_store(tmp_path: Path, settings: Any) -> None:
    settings.BLOB_STORE_URL = f"file://{tmp_path / 'blobs'}"


def _loaded(answer: Any) -> zipfile.ZipFile:
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/zip")
    assert answer["Content-Disposition"].startswith("attachment")
    return zipfile.ZipFile(io.BytesIO(b"".join(answer.streaming_content)))


@pytest.fixture
def lived(ada: User, bob: User, moderator: User, publish: Any) -> User:  # noqa: F811
    services.edit_profile(user=ada, display_name="Ada Lovelace")
    services.create_token(user=ada, name="laptop")
    adapter = publish(ada, "plural", examples=[{"prompt": "cat", "expected": "cats"}])
    publish(bob, "hidden", seed=3, visibility="private")
    moderation.report_adapter(user=ada, adapter=adapter, reason="spam")
    moderation.decide(moderator=moderator, adapter=adapter, action="dismiss", reason="It is fine.")
    return ada


def test_what_is_in_it(client: Client, lived: User) -> None:
    client.force_login(lived)
    archive = _loaded(client.get("/account/export"))
    names = set(archive.namelist())
    expected = ("account", "adapters", "uploads", "mixes", "suites", "jobs", "activity", "audit")
    parts = {f"{name}.json" for name in expected}
    assert names == parts | {"README.txt", "adapters/plural/README.md"}
    found = {name: json.loads(archive.read(name)) for name in parts}
    assert found["account.json"]["display_name"] == "Ada Lovelace"
    [token] = found["account.json"]["tokens"]
    assert token["name"] == "laptop"
    assert "digest" not in token
    [adapter] = found["adapters.json"]
    assert (adapter["name"], adapter["examples"][0]["expected"]) == ("plural", "cats")
    assert {file["path"] for file in adapter["versions"][0]["files"]} > set(adapter_files())
    assert [report["reason"] for report in found["activity.json"]["reports"]] == ["spam"]
    assert [job["kind"] for job in found["jobs.json"]][:1] == ["inspect"]
    writers = {entry["action"]: entry["actor"] for entry in found["audit.json"]}
    assert (writers["adapter.publish"], writers["adapter.dismiss"]) == ("ada", "somebody else")
    text = b"".join(archive.read(name) for name in names).decode()
    assert "hidden" not in text


def test_with_files(client: Client, lived: User) -> None:
    client.force_login(lived)
    archive = _loaded(client.get("/api/v1/me/export/?files=1"))
    folder = next(name for name in archive.namelist() if name.endswith(".safetensors")).rpartition("/")[0]
    for path, data in adapter_files().items():
        assert archive.read(f"{folder}/{path}") == data


def test_what_a_moderator_removed_is_not_handed_out_by_the_back_door(
    client: Client, lived: User, moderator: User
) -> None:
    adapter = Adapter.objects.get(name="plural")
    moderation.decide(moderator=moderator, adapter=adapter, action="remove", reason="Stolen.")
    client.force_login(lived)
    archive = _loaded(client.get("/account/export?files=1"))
    assert not [name for name in archive.namelist() if name.startswith("adapters/")]
    assert "adapter_model.safetensors: a moderator has taken it down" in archive.read("MISSING.txt").decode()
    # What is said about it stays the person's to read.
    assert "adapters/plural/README.md" in _loaded(client.get("/account/export")).namelist()


def test_what_can_be_restored_comes_along(client: Client, lived: User) -> None:
    delete_adapter(user=lived, adapter=Adapter.objects.get(name="plural"))
    client.force_login(lived)
    names = _loaded(client.get("/account/export?files=1")).namelist()
    assert [name for name in names if name.endswith("/adapter_model.safetensors")]
    assert "MISSING.txt" not in names


def test_bytes_that_are_gone_are_named(client: Client, lived: User) -> None:
    version = Adapter.objects.get(name="plural").current
    assert version is not None
    for file in version.files.all():
        blob_store().delete(file.blob_id)
    client.force_login(lived)
    archive = _loaded(client.get("/account/export?files=1"))
    assert archive.read("MISSING.txt").decode().count("its bytes were deleted") == version.files.count()
    assert _loaded(client.get("/account/export")).testzip() is None


def test_long_parts_go_through_the_disk_and_cards_are_read_when_their_turn_comes(
    client: Client, lived: User, monkeypatch: Any
) -> None:
    monkeypatch.setattr(export, "_IN_MEMORY", 10)
    opened: list[str] = []
    store_open = type(blob_store()).open
    monkeypatch.setattr(
        type(blob_store()), "open", lambda self, sha256: opened.append(sha256) or store_open(self, sha256)
    )
    client.force_login(lived)
    answer = client.get("/account/export")
    assert opened == []
    archive = _loaded(answer)
    assert (len(opened), archive.testzip()) == (1, None)
    assert json.loads(archive.read("audit.json"))[0]["action"] == "account.edit"


def test_tokens_of_others_are_not_told(client: Client, lived: User, moderator: User) -> None:
    for actor, prefix in ((lived, "by_mine"), (moderator, "by_other")):
        AuditEntry.objects.create(actor=actor, action="adapter.note", target="ada/plural", token_prefix=prefix)
    client.force_login(lived)
    text = _loaded(client.get("/account/export")).read("audit.json").decode()
    assert ("by_mine" in text, "by_other" in text) == (True, False)


def test_it_is_for_the_person_alone(client: Client) -> None:
    assert client.get("/api/v1/me/export/").status_code == 401
    assert client.get("/account/export").status_code == 302
