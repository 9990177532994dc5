"""Hostile archives are refused with a reason; nothing of them is stored."""

from __future__ import annotations

import io
import stat
import struct
import warnings
import zipfile
from collections.abc import Callable
from typing import Any

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
from tests.marketplace.adapters.conftest import adapter_files, incoming, left_behind, zip_of

GOOD = zip_of(adapter_files())


def _with_info(change: Callable[[zipfile.ZipInfo], None], name: str = "extra") -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for path, data in adapter_files().items():
            archive.writestr(path, data)
        info = zipfile.ZipInfo(name)
        change(info)
        archive.writestr(info, b"adapter_model.safetensors")
    return target.getvalue()


def _link(info: zipfile.ZipInfo) -> None:
    info.external_attr = (stat.S_IFLNK | 0o777) << 16


def _lzma(info: zipfile.ZipInfo) -> None:
    info.compress_type = zipfile.ZIP_LZMA


def _duplicate() -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive.writestr("adapter_config.json", b"{}")
        archive.writestr("adapter_config.json", b"[]")
    return target.getvalue()


def _encrypted() -> bytes:
    data = bytearray(GOOD)
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + offset] |= 1
    return bytes(data)


def _local_size_differs() -> bytes:
    data = bytearray(GOOD)
    struct.pack_into("<L", data, 22, 17)
    return bytes(data)


def _local_name_differs() -> bytes:
    return GOOD.replace(b"adapter_config.json", b"adapter_c0nfig.json", 1)


def _crc_differs() -> bytes:
    data = bytearray(zip_of(adapter_files(), zipfile.ZIP_STORED))
    data[data.index(b"lora_A") + 2000] ^= 0xFF
    return bytes(data)


def _prefixed() -> bytes:
    return b"#!/bin/sh\n" + GOOD


def _zip64_hidden() -> bytes:
    """The plain end record describes a directory of one entry, whose comment is a Zip64 record with its locator; that
    record describes a larger directory, so it gets round the limits on directories."""
    shown, hidden = (zip_of({"adapter_config.json": word}, zipfile.ZIP_STORED) for word in (b"shown!", b"hidden"))
    inner_at = hidden.index(b"PK\x01\x02")
    inner = hidden[inner_at : hidden.index(b"PK\x05\x06")]
    at = shown.index(b"PK\x01\x02")
    entry = bytearray(shown[at : shown.index(b"PK\x05\x06")])
    record_at = at + len(inner) + len(entry)
    record = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 2, 2, len(inner) + len(entry), at)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, record_at, 1)
    struct.pack_into("<H", entry, 32, len(record) + len(locator))
    directory = bytes(entry) + record + locator
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, len(directory), at + len(inner), 0)
    return shown[:at] + inner + directory + end


def test_the_library_would_follow_a_hidden_zip64_record() -> None:
    """Why ``zip_zip64`` is refused."""
    archive = _zip64_hidden()
    assert struct.unpack_from("<H", archive, len(archive) - 12)[0] == 1
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        assert len(opened.infolist()) == 2


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("archive", "code"),
    [
        (_with_info(_link), "zip_link"),
        (_with_info(_lzma), "zip_method"),
        (_with_info(lambda info: None, "../../etc/passwd"), "zip_path"),
        (_with_info(lambda info: None, "/etc/passwd"), "zip_path"),
        (_with_info(lambda info: None, "C:/x"), "zip_path"),
        (_with_info(lambda info: None, "a\\b"), "zip_path"),
        (_with_info(lambda info: None, "a/" * 20 + "b"), "zip_path"),
        (_with_info(lambda info: None, "Adapter_Config.JSON"), "zip_duplicate"),
        (_with_info(lambda info: None, "adapter_conﬁg.json"), "zip_duplicate"),
        (_duplicate(), "zip_duplicate"),
        (_encrypted(), "zip_encrypted"),
        (_local_size_differs(), "zip_headers"),
        (_local_name_differs(), "zip_headers"),
        (_crc_differs(), "zip_damaged"),
        (_zip64_hidden(), "zip_zip64"),
        (GOOD + b"trailing", "zip_trailing"),
        (GOOD[: len(GOOD) // 2], "zip_damaged"),
        (GOOD[:40] + GOOD[60:], "zip_polyglot"),
        (b"PK\x03\x04", "zip_damaged"),
        (zip_of({f"{number}": b"" for number in range(1001)}), "zip_entries"),
    ],
)
def test_hostile_archives(ada: User, archive: bytes, code: str) -> None:
    upload = services.create_upload(user=ada, files=incoming({"a.zip": archive}))
    assert upload.state == Upload.State.REFUSED
    assert [problem["code"] for problem in upload.problems] == [code]
    assert upload.problems[0]["remedy"]
    assert Blob.objects.count() == 0
    assert left_behind() == []


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
