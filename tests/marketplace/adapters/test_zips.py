"""Hostile archives are refused with a reason; nothing of them is stored."""

from __future__ import annotations

import io
import struct
import zipfile
from dataclasses import replace
from typing import Any
from zlib import crc32

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inference_worker.blobs import BlobStore
from marketplace.accounts.models import User
from marketplace.adapters import services
from marketplace.adapters.models import Blob, Upload
from marketplace.adapters.uploads import zips
from marketplace.adapters.uploads.incoming import Candidate, IncomingFile
from marketplace.adapters.uploads.problems import UploadFault
from tests.hostile.archives import hostile, zip64_hidden
from tests.hostile.raw_zip import DEFLATED, build, of
from tests.marketplace.adapters.conftest import adapter_files, incoming, left_behind, zip_of

GOOD = zip_of(adapter_files())
HOSTILE = hostile(adapter_files())


def _prefixed() -> bytes:
    return b"#!/bin/sh\n" + GOOD


def test_the_library_would_follow_a_hidden_zip64_record() -> None:
    """Why ``zip_zip64`` is refused."""
    archive = zip64_hidden()
    assert struct.unpack_from("<H", archive, len(archive) - 12)[0] == 1
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        assert len(opened.infolist()) == 2


@pytest.mark.django_db
@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_hostile_archives(name: str, ada: User) -> None:
    archive, code = HOSTILE[name]
    upload = services.create_upload(user=ada, files=incoming({"a.zip": archive}))
    assert upload.state == Upload.State.REFUSED
    errors = [problem for problem in upload.problems if problem["severity"] == "error"]
    assert errors[0]["code"] == code
    assert all(problem["remedy"] for problem in errors)
    assert Blob.objects.count() == 0
    assert left_behind() == []


@pytest.mark.django_db
@pytest.mark.parametrize("descriptor", ["<4s3L", "<3L", "<4sL2Q", "<L2Q"])
def test_sizes_behind_the_data_in_every_form(descriptor: str, ada: User) -> None:
    entries = []
    for entry in of(adapter_files(), DEFLATED):
        numbers = [crc32(entry.data), len(entry.content()), len(entry.data)]
        magic = [b"PK\x07\x08"] if "s" in descriptor else []
        unknown = {"crc": 0, "packed": 0, "size": 0}
        entries.append(replace(entry, flags=8, descriptor=struct.pack(descriptor, *magic, *numbers), local=unknown))
    upload = services.create_upload(user=ada, files=incoming({"a.zip": build(entries)}))
    assert (upload.state, upload.problems) == (Upload.State.READY, [])


@pytest.mark.django_db
def test_bytes_before_the_archive_make_it_no_zip(ada: User) -> None:
    upload = services.create_upload(user=ada, files=incoming({"a.zip": _prefixed()}))
    assert upload.state == Upload.State.REFUSED
    assert {problem["code"] for problem in upload.problems} >= {"config_missing"}


@pytest.mark.django_db
def test_bomb_is_refused_before_it_unpacks(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zips, "RATIO_FROM", 1 << 20)
    bomb = zip_of({**adapter_files(), "zeros.safetensors": bytes(4 << 20)})
    upload = services.create_upload(user=ada, files=incoming({"a.zip": bomb}))
    assert [problem["code"] for problem in upload.problems] == ["zip_ratio"]


@pytest.mark.django_db
def test_unpacked_size_is_limited(ada: User, settings: Any) -> None:
    settings.UPLOAD_MAX_BYTES = 3 << 20
    upload = services.create_upload(
        user=ada, files=incoming({"a.zip": zip_of({**adapter_files(), "zeros": bytes(4 << 20)})})
    )
    assert [problem["code"] for problem in upload.problems] == ["zip_too_large"]


@pytest.mark.django_db
def test_zip_beside_other_files(ada: User) -> None:
    upload = services.create_upload(user=ada, files=incoming({"a.zip": GOOD, "README.md": b"x"}))
    assert [problem["code"] for problem in upload.problems] == ["zip_and_files"]


@pytest.mark.django_db
def test_streamed_archive_with_sizes_behind_the_data(ada: User) -> None:
    class Pipe(io.RawIOBase):
        """A target that cannot seek, as a program that writes to a socket has."""

        def __init__(self) -> None:
            self.data = bytearray()

        def writable(self) -> bool:
            return True

        def write(self, data: Any) -> int:
            self.data += data
            return len(data)

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in adapter_files().items():
            archive.writestr(path, data)
    upload = services.create_upload(user=ada, files=incoming({"a.zip": bytes(pipe.data)}))
    assert (upload.state, upload.problems) == (Upload.State.READY, [])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_archives_never_raise_anything_else(data: st.DataObject, tmp_path: Any) -> None:
    """Any change of bytes gives either the entries or an UploadFault."""
    archive = bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 4))):
        archive[data.draw(st.integers(0, len(archive) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(archive)))
    if data.draw(st.booleans()):
        del archive[cut : cut + data.draw(st.integers(1, 50))]
    writer = BlobStore(f"file://{tmp_path}").writer()
    writer.write(bytes(archive))
    file = IncomingFile("a.zip", writer)
    taken: list[Candidate] = []
    try:
        taken = zips.candidates_of(file, limit=1 << 24)
        for candidate in taken:
            candidate.take().discard()
    except UploadFault:
        taken = []
    finally:
        file.discard()
