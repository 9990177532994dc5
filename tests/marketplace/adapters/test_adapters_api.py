"""REST of uploads and adapters: shapes, status codes, the envelope of errors."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from marketplace.accounts.models import User
from marketplace.accounts.services import create_token
from marketplace.adapters.models import Adapter
from marketplace.bases.models import Base
from marketplace.jobs.models import Job
from tests.marketplace.adapters.conftest import MakeUpload, adapter_files, left_behind, run_inspection

pytestmark = pytest.mark.django_db


def _files(files: dict[str, bytes]) -> dict[str, list[SimpleUploadedFile]]:
    return {"files": [SimpleUploadedFile(path, data) for path, data in files.items()]}


HALF = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\nhalf'


@pytest.fixture
def write(ada: User) -> dict[str, str]:
    return {"Authorization": f"Bearer {create_token(user=ada, name='test', scope='write')[1]}"}


def test_upload_publish_read_edit_delete(client: Client, ada: User, base: Base, write: dict[str, str]) -> None:
    answer = client.post("/api/v1/uploads/", _files(adapter_files()), headers=write)
    assert answer.status_code == 201, answer.content
    upload = answer.json()
    assert (upload["state"], upload["artifact"]["state"], upload["suggested"]["base"]) == (
        "ready",
        "pending",
        "wordsmith-v1",
    )
    run_inspection(Job.objects.get(kind="inspect"))
    upload = client.get(f"/api/v1/uploads/{upload['id']}/", headers=write).json()
    assert (upload["artifact"]["state"], upload["artifact"]["rank"]) == ("valid", 4)

    body = {
        "upload": upload["id"],
        "name": "plural",
        "title": "Plural nouns",
        "license": "mit",
        "tags": ["nouns"],
        "visibility": "public",
        "prompt_format": {"template": "{prompt}\nOutput:", "stop": ["\n"]},
        "examples": [{"prompt": "cat", "expected": "cats"}, {"prompt": "dog", "public": True}],
    }
    answer = client.post("/api/v1/adapters/", body, "application/json", headers=write)
    assert answer.status_code == 201, answer.content
    found = client.get("/api/v1/adapters/ada/plural/").json()
    assert (found["full_name"], found["state"], found["base"], found["rank"]) == (
        "ada/plural",
        "valid",
        "wordsmith-v1",
        4,
    )
    assert found["prompt_format"]["stop"] == ["\n"]
    assert [file["path"] for file in found["files"]] == [
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    # Examples are the owner's unless they are open.
    assert [example["prompt"] for example in found["examples"]] == ["dog"]
    assert len(client.get("/api/v1/adapters/ada/plural/", headers=write).json()["examples"]) == 2
    listed = client.get("/api/v1/adapters/").json()
    assert [row["full_name"] for row in listed["results"]] == ["ada/plural"]
    assert (listed["next"], listed["mode"]) == (None, "browse")

    answer = client.patch(
        "/api/v1/adapters/ada/plural/", {"description": "Makes plurals."}, "application/json", headers=write
    )
    assert answer.json()["description"] == "Makes plurals."
    versions = client.get("/api/v1/adapters/ada/plural/versions/").json()["results"]
    assert [version["message"] for version in versions] == ["Edit the card", "First version"]
    assert versions[0]["parent"] == versions[1]["commit"]

    assert client.delete("/api/v1/adapters/ada/plural/", headers=write).status_code == 204
    answer = client.get("/api/v1/adapters/ada/plural/", headers=write)
    assert (answer.status_code, answer.json()["code"], answer.json()["extra"]["may_restore"]) == (410, "deleted", True)
    assert client.get("/api/v1/adapters/ada/plural/").json()["extra"]["may_restore"] is False


def test_new_version_and_similar(client: Client, ada: User, write: dict[str, str], make_upload: MakeUpload) -> None:
    for name, seed in (("one", 0), ("two", 0)):
        body = {"upload": str(make_upload(ada, seed=seed).pk), "name": name}
        assert client.post("/api/v1/adapters/", body, "application/json", headers=write).status_code == 201
    similar = client.get("/api/v1/adapters/ada/one/similar/", headers=write).json()
    assert [(row["adapter"]["name"], row["near_duplicate"]) for row in similar] == [("two", True)]
    assert similar[0]["weights"] == pytest.approx(1.0, abs=1e-3)
    body = {"upload": str(make_upload(ada, seed=1).pk), "message": "Trained on"}
    answer = client.post("/api/v1/adapters/ada/two/versions/", body, "application/json", headers=write)
    assert answer.status_code == 201
    assert client.get("/api/v1/adapters/ada/one/similar/", headers=write).json() == []
    assert client.get("/api/v1/adapters/ada/one/similar/?limit=x", headers=write).json()["code"] == "invalid"


def test_refused_upload_lists_its_problems(client: Client, write: dict[str, str]) -> None:
    answer = client.post("/api/v1/uploads/", _files({"README.md": b"hello"}), headers=write)
    assert answer.status_code == 201
    assert answer.json()["state"] == "refused"
    assert {problem["code"] for problem in answer.json()["problems"]} == {"config_missing", "weights_missing"}


def test_limits_end_the_upload_early(client: Client, ada: User, write: dict[str, str], settings: Any) -> None:
    settings.UPLOAD_MAX_BYTES = 1000
    answer = client.post("/api/v1/uploads/", _files({"a.safetensors": b"x" * 2000}), headers=write)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    settings.UPLOAD_MAX_BYTES, settings.UPLOAD_MAX_FILES = 10_000_000, 2
    answer = client.post("/api/v1/uploads/", _files(dict.fromkeys("abc", b"x")), headers=write)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_many_files")
    ada.quota_bytes = 10
    ada.save()
    answer = client.post("/api/v1/uploads/", _files(adapter_files()), headers=write)
    assert (answer.status_code, answer.json()["code"]) == (413, "quota_exceeded")
    assert left_behind() == []


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"no boundary at all", "multipart/form-data"),
        (b"--x\r\nbroken", "multipart/form-data; boundary=x"),
        (b"", "multipart/form-data; boundary=x"),
        (HALF, "multipart/form-data; boundary=x"),
    ],
)
def test_broken_forms_are_the_senders_fault(
    client: Client, write: dict[str, str], body: bytes, content_type: str
) -> None:
    answer = client.generic("POST", "/api/v1/uploads/", body, content_type, headers=write)
    assert answer.status_code in (201, 400, 415)
    assert answer.json().get("state", "refused") == "refused"
    assert left_behind() == []
    assert client.post("/api/v1/uploads/", {"a": 1}, "application/json", headers=write).status_code == 400


def test_who_may_upload(client: Client, ada: User, make_upload: MakeUpload, bob: User) -> None:
    assert client.post("/api/v1/uploads/", _files(adapter_files())).status_code == 401
    read = {"Authorization": f"Bearer {create_token(user=ada, name='r', scope='read')[1]}"}
    assert client.post("/api/v1/uploads/", _files(adapter_files()), headers=read).status_code == 403
    assert (
        client.post(
            "/api/v1/uploads/", _files(adapter_files()), headers={"Authorization": "Bearer by_wrong"}
        ).status_code
        == 401
    )
    upload = make_upload(ada)
    client.force_login(bob)
    assert client.get(f"/api/v1/uploads/{upload.pk}/").status_code == 404
    assert client.delete(f"/api/v1/uploads/{upload.pk}/").status_code == 404
    assert client.get("/api/v1/uploads/nonsense/").status_code == 404
    assert left_behind() == []


def test_session_needs_its_csrf_token(ada: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(ada)
    assert client.post("/api/v1/uploads/", _files(adapter_files())).status_code == 403
    assert left_behind() == []
    client.get("/api/v1/me/")
    client.cookies["csrftoken"] = "a" * 32
    answer = client.post("/api/v1/uploads/", _files(adapter_files()), headers={"X-CSRFToken": "a" * 32})
    assert answer.status_code == 201, answer.content


def test_errors_have_the_envelope(client: Client, ada: User, write: dict[str, str], make_upload: MakeUpload) -> None:
    body = {"upload": str(make_upload(ada).pk), "name": "-"}
    answer = client.post("/api/v1/adapters/", body, "application/json", headers=write)
    assert answer.status_code == 400
    assert set(answer.json()) == {"code", "message", "extra"}
    assert list(answer.json()["extra"]["fields"]) == ["name"]
    body["name"] = "fine"
    assert client.post("/api/v1/adapters/", body, "application/json", headers=write).status_code == 201
    answer = client.post("/api/v1/adapters/", body, "application/json", headers=write)
    assert (answer.status_code, answer.json()["code"]) == (409, "already_published")
    answer = client.post(
        "/api/v1/adapters/", {**body, "upload": str(make_upload(ada).pk)}, "application/json", headers=write
    )
    assert (answer.status_code, answer.json()["code"]) == (409, "name_taken")
    assert client.patch("/api/v1/adapters/ada/none/", {}, "application/json", headers=write).status_code == 404
    assert Adapter.objects.count() == 1


def test_discard_and_list(client: Client, ada: User, write: dict[str, str], make_upload: MakeUpload) -> None:
    uploads = [make_upload(ada, check=False, seed=seed) for seed in range(3)]
    first = client.get("/api/v1/uploads/?limit=2", headers=write).json()
    assert [row["id"] for row in first["results"]] == [str(upload.pk) for upload in reversed(uploads[1:])]
    second = client.get(first["next"], headers=write).json()
    assert ([row["id"] for row in second["results"]], second["next"]) == ([str(uploads[0].pk)], None)
    assert client.get("/api/v1/uploads/?cursor=zzz", headers=write).json()["code"] == "invalid"
    assert client.get("/api/v1/uploads/").status_code == 401
    assert client.delete(f"/api/v1/uploads/{uploads[0].pk}/", headers=write).status_code == 204
    assert client.post(f"/api/v1/uploads/{uploads[1].pk}/check/", headers=write).status_code == 409
