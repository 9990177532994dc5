"""Files and zips: ETag, Range, HEAD, headers, the counter, and who gets nothing."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from typing import Any

import pytest
from django.test import AsyncClient, Client

from marketplace.accounts.models import User
from marketplace.adapters import services
from marketplace.adapters.models import Adapter, Artifact, Blob
from marketplace.core.store import blob_store
from tests.marketplace.adapters.conftest import MakeUpload, adapter_files

pytestmark = pytest.mark.django_db

FILES = adapter_files()
WEIGHTS = FILES["adapter_model.safetensors"]
URL = "/api/v1/adapters/ada/plural/files/main/adapter_model.safetensors"


@pytest.fixture
def adapter(ada: User, make_upload: MakeUpload) -> Adapter:
    return services.publish_upload(user=ada, upload=make_upload(ada), name="plural", visibility="public")


def _body(answer: Any) -> bytes:
    return b"".join(answer.streaming_content)


def test_whole_file_with_its_headers(client: Client, adapter: Adapter) -> None:
    answer = client.get(URL)
    assert answer.status_code == 200
    assert _body(answer) == WEIGHTS
    assert answer["Content-Length"] == str(len(WEIGHTS))
    assert answer["ETag"] == f'"{hashlib.sha256(WEIGHTS).hexdigest()}"'
    assert answer["Accept-Ranges"] == "bytes"
    assert answer["Content-Disposition"].startswith('attachment; filename="adapter_model.safetensors"')
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Content-Security-Policy"].startswith("sandbox")
    assert adapter.current is not None
    assert answer["X-Repo-Commit"] == adapter.current.commit
    assert "Content-Encoding" not in answer


def test_small_files_have_their_git_digest(client: Client, adapter: Adapter) -> None:
    answer = client.get(
        URL.replace("adapter_model.safetensors", "adapter_config.json"), headers={"Accept": "text/html"}
    )
    assert json.loads(_body(answer))["peft_type"] == "LORA"
    blob = Blob.objects.get(sha256=hashlib.sha256(FILES["adapter_config.json"]).hexdigest())
    assert answer["ETag"] == f'"{blob.git_sha1}"'


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [("bytes=0-9", 0, 10), ("bytes=100-", 100, None), ("bytes=-7", -7, None), ("bytes=5-99999999", 5, None)],
)
def test_one_range(client: Client, adapter: Adapter, asked: str, start: int, stop: int | None) -> None:
    answer = client.get(URL, headers={"Range": asked})
    expected = WEIGHTS[start:stop]
    assert answer.status_code == 206
    assert _body(answer) == expected
    first = start if start >= 0 else len(WEIGHTS) + start
    assert answer["Content-Range"] == f"bytes {first}-{first + len(expected) - 1}/{len(WEIGHTS)}"
    assert answer["Content-Length"] == str(len(expected))


@pytest.mark.parametrize(
    "asked", ["bytes=0-1,5-6", "bytes=9-5", "lines=1-2", "bytes=-", "bytes=a-b", "bytes=0-" + "9" * 30]
)
def test_ranges_that_do_not_count_give_the_whole_file(client: Client, adapter: Adapter, asked: str) -> None:
    answer = client.get(URL, headers={"Range": asked})
    assert answer.status_code == 200
    assert _body(answer) == WEIGHTS


@pytest.mark.parametrize("asked", [f"bytes={len(WEIGHTS)}-", "bytes=-0"])
def test_range_outside_the_file(client: Client, adapter: Adapter, asked: str) -> None:
    answer = client.get(URL, headers={"Range": asked})
    assert answer.status_code == 416
    assert answer["Content-Range"] == f"bytes */{len(WEIGHTS)}"


def test_conditions(client: Client, adapter: Adapter) -> None:
    etag = client.head(URL)["ETag"]
    for header in (etag, f'"x", W/{etag}', "*"):
        answer = client.get(URL, headers={"If-None-Match": header})
        assert (answer.status_code, answer.content, answer["ETag"]) == (304, b"", etag)
    assert client.get(URL, headers={"If-None-Match": '"other"'}).status_code == 200
    assert client.get(URL, headers={"Range": "bytes=0-1", "If-Range": etag}).status_code == 206
    assert client.get(URL, headers={"Range": "bytes=0-1", "If-Range": '"old"'}).status_code == 200


def test_head_has_the_headers_alone(client: Client, adapter: Adapter) -> None:
    answer = client.head(URL)
    assert (answer.status_code, answer.content, answer["Content-Length"]) == (200, b"", str(len(WEIGHTS)))
    assert client.head(URL, headers={"Range": "bytes=0-9"})["Content-Length"] == "10"


def test_counter(client: Client, adapter: Adapter) -> None:
    etag = client.head(URL)["ETag"]
    client.get(URL, headers={"If-None-Match": etag})
    _body(client.get(URL, headers={"Range": "bytes=10-20"}))
    _body(client.get(URL.replace("adapter_model.safetensors", "README.md")))
    adapter.refresh_from_db()
    assert adapter.downloads == 0
    _body(client.get(URL))
    _body(client.get("/api/v1/adapters/ada/plural/archive/main.zip"))
    adapter.refresh_from_db()
    assert adapter.downloads == 2


def test_zip_of_all_files(client: Client, adapter: Adapter) -> None:
    answer = client.get("/api/v1/adapters/ada/plural/archive/main.zip")
    data = _body(answer)
    assert answer["Content-Length"] == str(len(data))
    assert adapter.current is not None
    folder = f"ada-plural-{adapter.current.commit[:8]}"
    assert f'filename="{folder}.zip"' in answer["Content-Disposition"]
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        assert {info.filename for info in archive.infolist()} == {f"{folder}/{path}" for path in ("README.md", *FILES)}
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
        assert archive.read(f"{folder}/adapter_model.safetensors") == WEIGHTS
    head = client.head("/api/v1/adapters/ada/plural/archive/main.zip")
    assert head["Content-Length"] == str(len(data))
    assert (
        client.get("/api/v1/adapters/ada/plural/archive/main.zip", headers={"If-None-Match": head["ETag"]}).status_code
        == 304
    )


@pytest.mark.parametrize("move", ["rename", "transfer"])
def test_a_renamed_zip_is_another_file(client: Client, ada: User, bob: User, adapter: Adapter, move: str) -> None:
    """Its folder is named after the adapter: a rest of the renamed one does not fit what was loaded before."""
    assert adapter.current is not None
    revision = f"archive/{adapter.current.commit}.zip"
    first = client.get(f"/api/v1/adapters/ada/plural/{revision}", headers={"Range": "bytes=0-99"})
    assert (first.status_code, len(_body(first))) == (206, 100)
    # As a rename leaves a revision whose card does not show the address.
    Adapter.objects.filter(pk=adapter.pk).update(**({"name": "singular"} if move == "rename" else {"owner": bob}))
    name = "ada/singular" if move == "rename" else "bob/plural"
    rest = client.get(f"/api/v1/adapters/{name}/{revision}", headers={"Range": "bytes=100-", "If-Range": first["ETag"]})
    assert (rest.status_code, rest["ETag"] != first["ETag"]) == (200, True)
    with zipfile.ZipFile(io.BytesIO(_body(rest))) as archive:
        assert archive.testzip() is None
        assert all(path.startswith(name.replace("/", "-")) for path in archive.namelist())
    again = client.get(f"/api/v1/adapters/{name}/{revision}", headers={"If-None-Match": first["ETag"]})
    assert again.status_code == 200
    assert (
        client.get(
            f"/api/v1/adapters/{name}/{revision}", headers={"Range": "bytes=0-9", "If-Range": rest["ETag"]}
        ).status_code
        == 206
    )


def test_downloaded_zip_can_be_uploaded_again(
    client: Client, ada: User, adapter: Adapter, make_upload: MakeUpload
) -> None:
    data = _body(client.get("/api/v1/adapters/ada/plural/archive/main.zip"))
    again = make_upload(ada, {"plural.zip": data})
    assert again.artifact == Artifact.objects.get()
    assert again.problems == []


def test_revisions(client: Client, ada: User, adapter: Adapter) -> None:
    assert adapter.current is not None
    commit = adapter.current.commit
    services.edit_adapter(user=ada, adapter=adapter, description="Other words.")
    card = "/api/v1/adapters/ada/plural/files/{}/README.md"
    assert b"Other words" in _body(client.get(card.format("main")))
    for revision in (commit, commit[:7], commit[:20].upper()):
        assert b"Other words" not in _body(client.get(card.format(revision)))
    for path in (card.format("dev"), card.format(commit[:6]), card.format("main").replace("README.md", "other")):
        answer = client.get(path)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    "change",
    [{"visibility": "private"}, {"moderation": "quarantined"}, {"moderation": "removed"}, "pending", "invalid"],
)
def test_others_get_nothing(client: Client, ada: User, bob: User, adapter: Adapter, change: Any) -> None:
    if isinstance(change, str):
        Artifact.objects.update(state=change)
    else:
        Adapter.objects.update(**change)
    paths = [URL, "/api/v1/adapters/ada/plural/archive/main.zip", "/api/v1/adapters/ada/plural/"]
    for _ in ("anonymous", "bob"):
        assert {client.get(path).status_code for path in paths} == {404}
        assert {client.head(path).status_code for path in paths} == {404}
        client.force_login(bob)
    client.force_login(ada)
    removed = change == {"moderation": "removed"}
    assert client.get(URL).status_code == (404 if removed else 200)


def test_missing_bytes_are_said(client: Client, adapter: Adapter) -> None:
    blob_store().delete(hashlib.sha256(WEIGHTS).hexdigest())
    for path in (URL, "/api/v1/adapters/ada/plural/archive/main.zip"):
        answer = client.get(path)
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")


@pytest.mark.django_db(transaction=True)
async def test_asynchronous_server_streams_without_blocking(
    async_client: AsyncClient, ada: User, make_upload: MakeUpload
) -> None:
    from asgiref.sync import sync_to_async

    await sync_to_async(
        lambda: services.publish_upload(user=ada, upload=make_upload(ada), name="plural", visibility="public")
    )()
    answer = await async_client.get(URL, headers={"Range": "bytes=3-"})
    assert answer.is_async
    assert b"".join([part async for part in answer.streaming_content]) == WEIGHTS[3:]
    await sync_to_async(answer.close)()
