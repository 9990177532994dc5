"""Files that came in pieces: how they become an upload, and what becomes of those that nobody went on with."""

from __future__ import annotations

import contextlib
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from inference_worker.blobs.partial import LocalPartial
from marketplace.accounts.models import User
from marketplace.adapters.models import Blob, PartialUpload, Upload
from marketplace.adapters.services import partial_uploads, uploading
from marketplace.adapters.services.partial_uploads import collect_partial_uploads
from marketplace.adapters.uploads import digests
from marketplace.adapters.uploads.parts import partial_of
from marketplace.adapters.uploads.quota import reserved_bytes
from marketplace.core.store import blob_store
from tests.marketplace.adapters.conftest import adapter_files, zip_of
from tests.marketplace.adapters.tus_client import CREATE, DATA, Tus, send_all, sha256


def test_parts_become_one_upload(tus: Tus, ada: User) -> None:
    files = adapter_files()
    parts = send_all(tus, files)
    made = tus.finish(parts)
    assert made.status_code == 201
    assert {file["path"]: file["sha256"] for file in made.json()["files"]} == {
        name: sha256(data) for name, data in files.items()
    }
    for file in made.json()["files"]:
        assert blob_store().open(file["sha256"]).read() == files[file["path"]]
        assert Blob.objects.get(pk=file["sha256"]).git_sha1 == file["git_sha1"]
    assert not any((blob_store().scratch.parent / "partial").iterdir())
    # Asked again, because the answer got lost on its way.
    again = tus.finish(parts)
    assert (again.status_code, again.json()["id"]) == (201, made.json()["id"])
    assert Upload.objects.count() == 1
    assert tus.call("HEAD", f"{CREATE}{parts[0]}/").status_code == 410
    assert tus.finish([*parts, tus.send(b"x", "x")]).json()["code"] == "part_used"


def test_asked_again_after_a_kill_it_answers_with_the_same_upload(
    tus: Tus, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed right behind the upload's own transaction."""
    parts = send_all(tus, adapter_files())

    def killed(**arguments: Any) -> Upload:
        uploading.create_upload(**arguments)
        raise SystemExit

    with monkeypatch.context() as patched:
        patched.setattr(partial_uploads, "create_upload", killed)
        with pytest.raises(SystemExit):
            partial_uploads.create_upload_from_parts(user=ada, parts=[uuid.UUID(part) for part in parts])
    assert reserved_bytes(ada) == 0
    again = tus.finish(parts)
    assert again.json()["id"] == str(Upload.objects.get().pk)


@pytest.mark.parametrize("broken", [False, True], ids=["accepted", "refused"])
def test_two_machines_make_one_upload_of_the_same_parts(
    broken: bool, tus: Tus, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other machine, which no lock of this one holds, makes its upload while this one is about to."""
    files = {**adapter_files(), **({"adapter_config.json": b"no json"} if broken else {})}
    parts = [uuid.UUID(part) for part in send_all(tus, files)]
    monkeypatch.setattr(LocalPartial, "locked", lambda partial: contextlib.nullcontext())
    theirs: list[Upload] = []

    def create_upload(**arguments: Any) -> Upload:
        if not theirs:
            theirs.append(Upload())
            theirs[0] = partial_uploads.create_upload_from_parts(user=ada, parts=parts)
        return uploading.create_upload(**arguments)

    monkeypatch.setattr(partial_uploads, "create_upload", create_upload)
    assert partial_uploads.create_upload_from_parts(user=ada, parts=parts) == theirs[0]
    assert Upload.objects.get() == theirs[0]
    assert {row.upload_id for row in PartialUpload.objects.all()} == {theirs[0].pk}


def test_a_zip_and_a_folder(tus: Tus) -> None:
    files = adapter_files(seed=2)
    zipped = tus.finish([tus.send(zip_of(files), "adapter.zip")]).json()
    trainer = {f"run/{name}": data for name, data in files.items()} | {"run/optimizer.pt": b"\x80\x04K\x01."}
    folder = tus.finish(send_all(tus, trainer)).json()
    assert zipped["state"] == folder["state"] == "ready"
    assert zipped["files"] == folder["files"]
    assert [problem["code"] for problem in folder["problems"]] == ["pickle_left_out"]


def test_refused_parts_are_forgotten(tus: Tus) -> None:
    refused = tus.finish([tus.send(b"{}", "adapter_config.json")]).json()
    assert refused["state"] == "refused"
    assert not any((blob_store().scratch.parent / "partial").iterdir())


def test_parts_that_have_not_arrived(tus: Tus) -> None:
    whole = tus.send(DATA, "a")
    part = tus.begin(10)["Location"].split("/")[-2]
    answer = tus.finish([whole, part])
    assert (answer.status_code, answer.json()["extra"]["parts"]) == (409, [part])
    assert tus.finish([whole, str(uuid.uuid4())]).status_code == 404
    assert tus.finish([whole, whole]).status_code == 400
    assert tus.finish([]).status_code == 400


def test_a_fault_leaves_the_parts_for_another_try(tus: Tus, ada: User, settings: Any) -> None:
    files = adapter_files(seed=3)
    parts = send_all(tus, files)
    User.objects.filter(pk=ada.pk).update(quota_bytes=10)
    assert tus.finish(parts).status_code == 413
    User.objects.filter(pk=ada.pk).update(quota_bytes=None)
    assert tus.finish(parts).status_code == 201


def test_digests_are_read_back_when_this_process_does_not_know_them(tus: Tus) -> None:
    path = tus.begin(len(DATA))["Location"]
    tus.piece(path, DATA[:100], 0)
    digests._kept.clear()
    tus.piece(path, DATA[100:], 100)
    assert PartialUpload.objects.get().sha256 == sha256(DATA)


def test_bytes_that_arrived_before_the_row_knew(tus: Tus) -> None:
    """The process was killed: the file is ahead of the row, even at its end."""
    files = adapter_files(seed=4)
    paths = {name: tus.begin(len(data), name)["Location"] for name, data in files.items()}
    for (name, data), cut in zip(files.items(), (len(files["adapter_config.json"]), 100), strict=True):
        row = PartialUpload.objects.get(path=name)
        with partial_of(row).locked(), partial_of(row).append(row.state, None) as sink:
            sink.write(data[:cut])
    assert [tus.call("HEAD", path)["Upload-Offset"] for path in paths.values()] == [
        str(len(files["adapter_config.json"])), "100",
    ]  # fmt: skip
    weights = files["adapter_model.safetensors"]
    assert tus.piece(paths["adapter_model.safetensors"], weights[100:], 100).status_code == 204
    made = tus.finish([path.split("/")[-2] for path in paths.values()])
    assert made.status_code == 201
    assert [file["sha256"] for file in made.json()["files"]] == [sha256(data) for data in files.values()]


def test_expired_files_are_gone(tus: Tus) -> None:
    path = tus.begin(len(DATA))["Location"]
    tus.piece(path, DATA[:10], 0)
    PartialUpload.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert tus.call("HEAD", path).status_code == 410
    assert tus.piece(path, DATA[10:], 10).status_code == 410
    row = PartialUpload.objects.get()
    with partial_of(row).locked():
        assert collect_partial_uploads() == 0
    assert collect_partial_uploads() == 1
    assert not PartialUpload.objects.exists()
    assert not any((blob_store().scratch.parent / "partial").iterdir())


def test_who_goes_on_at_the_last_moment_keeps_the_bytes(tus: Tus, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tus.begin(len(DATA))["Location"]
    tus.piece(path, DATA[:10], 0)
    PartialUpload.objects.update(expires_at=timezone.now() - timedelta(seconds=1))

    def gone_on_with(row: PartialUpload) -> Any:
        PartialUpload.objects.update(expires_at=timezone.now() + timedelta(hours=1))
        return partial_of(row)

    monkeypatch.setattr(partial_uploads, "partial_of", gone_on_with)
    assert collect_partial_uploads() == 0
    monkeypatch.undo()
    assert tus.piece(path, DATA[10:], 10).status_code == 204


def test_waiting_files_stay_and_bytes_without_a_row_go(tus: Tus, ada: User) -> None:
    path = tus.begin(len(DATA))["Location"]
    tus.piece(path, DATA[:10], 0)
    assert collect_partial_uploads() == 0
    assert collect_partial_uploads(timezone.now() + timedelta(hours=47)) == 0
    PartialUpload.objects.all().delete()
    assert collect_partial_uploads(timezone.now() + timedelta(hours=1)) == 0
    assert collect_partial_uploads(timezone.now() + timedelta(hours=49)) == 1
    assert not any((blob_store().scratch.parent / "partial").iterdir())
