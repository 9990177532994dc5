"""tus over REST: each word of the protocol, whose files are whose, and how much room they take."""

from __future__ import annotations

import base64
import errno
import hashlib
import os
import uuid
from typing import Any

import pytest
from django.test import Client

from inference_worker.blobs import PartialState
from marketplace.accounts.models import User
from marketplace.adapters.models import PartialUpload
from marketplace.adapters.services import partial_uploads
from marketplace.adapters.uploads.parts import partial_of
from marketplace.adapters.uploads.tus import OffsetConflict
from marketplace.core.store import blob_store
from tests.marketplace.adapters.conftest import adapter_files
from tests.marketplace.adapters.tus_client import CREATE, DATA, PIECE, Tus, metadata, send_all, sha256


def test_options_say_what_is_spoken(db: None, settings: Any) -> None:
    answer = Client().options(CREATE)
    assert answer.status_code == 204
    assert answer["Tus-Version"] == answer["Tus-Resumable"] == "1.0.0"
    assert answer["Tus-Extension"] == "creation,creation-with-upload,termination,expiration,checksum"
    assert answer["Tus-Max-Size"] == str(settings.UPLOAD_MAX_BYTES)
    assert answer["Tus-Checksum-Algorithm"] == "sha1,sha256"


def test_a_file_in_three_pieces(tus: Tus, ada: User) -> None:
    begun = tus.begin(len(DATA), group="g", fingerprint="f")
    path = begun["Location"]
    assert begun.status_code == 201
    assert begun["Upload-Expires"].endswith("GMT")
    assert path.startswith(CREATE)
    for start, end in ((0, 7), (7, 5000), (5000, len(DATA))):
        asked = tus.call("HEAD", path)
        assert (asked.status_code, asked["Upload-Offset"], asked["Cache-Control"]) == (200, str(start), "no-store")
        assert asked["Upload-Length"] == str(len(DATA))
        assert asked["Upload-Metadata"] == metadata(filename="adapter_model.safetensors", group="g", fingerprint="f")
        sent = tus.piece(path, DATA[start:end], start)
        assert (sent.status_code, sent["Upload-Offset"], sent["Tus-Resumable"]) == (204, str(end), "1.0.0")
        assert "Upload-Expires" in sent
    row = PartialUpload.objects.get(owner=ada)
    assert (row.sha256, row.path, row.group, row.is_complete) == (sha256(DATA), "adapter_model.safetensors", "g", True)
    assert tus.call("HEAD", path)["Upload-Offset"] == str(len(DATA))


def test_creation_with_upload(tus: Tus) -> None:
    said = {"Upload_Length": len(DATA), "Upload_Metadata": metadata(filename="a")}
    begun = tus.call("POST", CREATE, DATA[:100], PIECE, **said)
    assert (begun.status_code, begun["Upload-Offset"]) == (201, "100")
    assert tus.piece(begun["Location"], DATA[100:], 100).status_code == 204
    assert PartialUpload.objects.get().sha256 == sha256(DATA)


def test_an_empty_file_is_there_at_once(tus: Tus) -> None:
    tus.begin(0)
    assert PartialUpload.objects.get().sha256 == sha256(b"")


@pytest.mark.parametrize("version", ["", "0.2.2"])
def test_other_versions_are_not_processed(tus: Tus, version: str) -> None:
    answer = tus.call("POST", CREATE, Upload_Length=1, Tus_Resumable=version)
    assert (answer.status_code, answer["Tus-Version"]) == (412, "1.0.0")
    assert not PartialUpload.objects.exists()


@pytest.mark.parametrize("length", ["", "-1", "x", "1.5", "9" * 19, "٣"])
def test_lengths_that_are_none(tus: Tus, length: str) -> None:
    answer = tus.call("POST", CREATE, Upload_Length=length, Upload_Metadata=metadata(filename="a"))
    assert (answer.status_code, answer.json()["code"]) == (400, "header")


@pytest.mark.parametrize(
    "header",
    ["", "filename", "filename !!", "filename YQ==,filename YQ==", "filename /w==", f"filename YQ==,sha256 {'YQ=='}",
     "filename AA==", " YQ==", "x" * 5000],
)  # fmt: skip
def test_metadata_that_are_none(tus: Tus, header: str) -> None:
    answer = tus.call("POST", CREATE, Upload_Length=1, Upload_Metadata=header)
    assert (answer.status_code, answer.json()["code"]) == (400, "header")
    assert not PartialUpload.objects.exists()


def test_too_large_is_said_before_anything_is_sent(tus: Tus, settings: Any) -> None:
    assert tus.begin(settings.UPLOAD_MAX_BYTES + 1).status_code == 413


def test_a_piece_for_another_offset(tus: Tus) -> None:
    path = tus.begin(len(DATA))["Location"]
    for offset in (1, len(DATA)):
        answer = tus.piece(path, b"x", offset)
        assert (answer.status_code, answer.json()["extra"]["offset"]) == (409, 0)
    assert tus.call("PATCH", path, b"x", PIECE, Upload_Offset="x").status_code == 400
    assert tus.call("HEAD", path)["Upload-Offset"] == "0"


def test_another_content_type(tus: Tus) -> None:
    path = tus.begin(5)["Location"]
    assert tus.call("PATCH", path, b"x", "application/json", Upload_Offset=0).status_code == 415


def test_more_than_was_announced(tus: Tus) -> None:
    path = tus.begin(5)["Location"]
    answer = tus.piece(path, b"abcdefgh", 0)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_long")
    assert tus.call("HEAD", path)["Upload-Offset"] == "5"


def test_checksums_of_pieces(tus: Tus) -> None:
    path = tus.begin(len(DATA))["Location"]

    def checksum(name: str, data: bytes) -> str:
        return f"{name} {base64.b64encode(hashlib.new(name, data).digest()).decode()}"

    assert tus.piece(path, DATA[:10], 0, Upload_Checksum=checksum("sha1", DATA[:10])).status_code == 204
    wrong = tus.piece(path, DATA[10:20], 10, Upload_Checksum=checksum("sha256", b"else"))
    assert (wrong.status_code, wrong.json()["code"]) == (460, "checksum_mismatch")
    assert tus.call("HEAD", path)["Upload-Offset"] == "10"
    assert tus.piece(path, DATA[10:], 10, Upload_Checksum="crc32 AAAA").status_code == 400
    assert tus.piece(path, DATA[10:], 10, Upload_Checksum=checksum("sha256", DATA[10:])).status_code == 204
    assert PartialUpload.objects.get().sha256 == sha256(DATA)


def test_a_file_other_than_announced_begins_anew(tus: Tus) -> None:
    path = tus.begin(len(DATA), sha256=sha256(DATA))["Location"]
    wrong = tus.piece(path, DATA[::-1], 0)
    assert (wrong.status_code, wrong.json()["code"]) == (460, "sha256_mismatch")
    assert tus.call("HEAD", path)["Upload-Offset"] == "0"
    assert tus.piece(path, DATA, 0).status_code == 204
    assert PartialUpload.objects.get().sha256 == sha256(DATA)


def test_termination(tus: Tus) -> None:
    path = tus.begin(len(DATA))["Location"]
    tus.piece(path, DATA[:10], 0)
    assert tus.call("DELETE", path).status_code == 204
    assert tus.call("HEAD", path).status_code == 404
    assert tus.piece(path, DATA[10:], 10).status_code == 404
    assert not PartialUpload.objects.exists()
    assert not any((blob_store().scratch.parent / "partial").iterdir())


def test_two_at_once(tus: Tus) -> None:
    path = tus.begin(len(DATA))["Location"]
    row = PartialUpload.objects.get()
    with partial_of(row).locked():
        for answer in (tus.piece(path, DATA, 0), tus.call("DELETE", path)):
            assert (answer.status_code, answer.json()["code"]) == (423, "locked")
        assert tus.call("HEAD", path).status_code == 200
    assert tus.piece(path, DATA, 0).status_code == 204


def test_others_see_nothing(tus: Tus, bob: User, ada: User) -> None:
    path = tus.begin(len(DATA))["Location"]
    stranger = Tus(bob)
    for answer in (
        stranger.call("HEAD", path),
        stranger.piece(path, b"x", 0),
        stranger.call("DELETE", path),
        stranger.finish([path.split("/")[-2]]),
    ):
        assert answer.status_code == 404
    assert stranger.client.get(CREATE, headers=stranger.headers).json()["results"] == []
    listed = tus.client.get(CREATE, headers=tus.headers).json()["results"]
    assert [(row["length"], row["complete"]) for row in listed] == [(len(DATA), False)]


def test_reading_tokens_and_nobody(ada: User) -> None:
    reader, nobody = Tus(ada, scope="read"), Tus(ada, Authorization="")
    assert reader.begin(1).status_code == 403
    assert nobody.begin(1).status_code == 401
    assert nobody.call("HEAD", f"{CREATE}{uuid.uuid4()}/").status_code == 401


def test_a_session_needs_the_csrf_header(ada: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(ada)
    headers = {"Tus-Resumable": "1.0.0", "Upload-Length": "1", "Upload-Metadata": metadata(filename="a")}
    assert client.post(CREATE, headers=headers).status_code == 403
    client.get("/upload/")
    token = client.cookies["csrftoken"].value
    assert client.post(CREATE, headers={**headers, "X-CSRFToken": token}).status_code == 201


def test_announced_bytes_count_against_the_quota(tus: Tus, ada: User) -> None:
    User.objects.filter(pk=ada.pk).update(quota_bytes=1000)
    assert tus.begin(600).status_code == 201
    refused = tus.begin(600)
    assert (refused.status_code, refused.json()["code"]) == (413, "quota_exceeded")
    assert tus.call("DELETE", CREATE + f"{PartialUpload.objects.get().pk}/").status_code == 204
    assert tus.begin(600).status_code == 201


def test_a_file_counts_once_when_it_becomes_an_upload(tus: Tus, ada: User) -> None:
    files = adapter_files()
    User.objects.filter(pk=ada.pk).update(quota_bytes=sum(len(data) for data in files.values()))
    assert tus.finish(send_all(tus, files)).status_code == 201


def test_only_so_many_at_once(tus: Tus, settings: Any) -> None:
    settings.UPLOAD_MAX_PARTIALS = 2
    assert [tus.begin(1).status_code for _ in range(3)] == [201, 201, 429]


def test_a_full_disk_is_said_and_loses_nothing(tus: Tus, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tus.begin(len(DATA))["Location"]
    assert tus.piece(path, DATA[:100], 0).status_code == 204

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        answer = tus.piece(path, DATA[100:200], 100)
    assert (answer.status_code, answer.json()["code"]) == (507, "storage_full")
    offset = int(tus.call("HEAD", path)["Upload-Offset"])
    assert 100 <= offset <= 200
    assert tus.piece(path, DATA[offset:], offset).status_code == 204
    assert PartialUpload.objects.get().sha256 == sha256(DATA)


def test_the_slower_of_two_machines_ends(tus: Tus) -> None:
    """Locks do not reach another machine; the row does."""
    tus.begin(len(DATA))
    row = PartialUpload.objects.get()
    PartialUpload.objects.update(offset=7)
    with pytest.raises(OffsetConflict):
        partial_uploads._keep(row, PartialState(5))
    assert PartialUpload.objects.get().offset == 7
