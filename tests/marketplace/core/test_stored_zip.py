"""Zips that are put together while they are read, against the standard library's reader."""

from __future__ import annotations

import io
import random
import zipfile
from datetime import UTC, datetime

import pytest

from marketplace.core.stored_zip import Entry, StoredZip

WHEN = datetime(2026, 11, 21, 12, 34, 56, tzinfo=UTC)
FILES = {"a/config.json": b"{}", "a/empty": b"", "a/Größe.bin": random.Random(1).randbytes(3_000), "a/z": b"end"}


def made(crcs: dict[str, int] | None = None, files: dict[str, bytes] = FILES) -> StoredZip:
    entries = [Entry(path, len(data), path, lambda data=data: io.BytesIO(data)) for path, data in files.items()]
    return StoredZip(entries, WHEN, {} if crcs is None else crcs)


WHOLE = made().read()


def test_others_read_it() -> None:
    assert len(WHOLE) == made().size
    with zipfile.ZipFile(io.BytesIO(WHOLE)) as archive:
        assert archive.testzip() is None
        assert {info.filename: archive.read(info) for info in archive.infolist()} == FILES
        assert {info.date_time for info in archive.infolist()} == {(2026, 11, 21, 12, 34, 56)}
        assert {info.external_attr >> 16 for info in archive.infolist()} == {0o644}


def test_no_files() -> None:
    with zipfile.ZipFile(io.BytesIO(made(files={}).read())) as archive:
        assert archive.infolist() == []


def test_every_start_gives_the_rest() -> None:
    crcs: dict[str, int] = {}
    for start in range(0, len(WHOLE) + 2, 3):
        archive = made(crcs)
        archive.seek(start)
        assert archive.read() == WHOLE[start:]


@pytest.mark.parametrize("start", [1, 5, 1_500, len(WHOLE) - 10])
def test_checksums_that_nobody_knows_are_computed(start: int) -> None:
    archive = made({})
    archive.seek(start)
    assert archive.read() == WHOLE[start:]


def test_checksums_that_passed_by_are_kept() -> None:
    crcs: dict[str, int] = {}
    made(crcs).read()
    entries = [Entry(path, len(data), path, _never) for path, data in FILES.items()]
    archive = StoredZip(entries, WHEN, crcs)
    archive.seek(-200, io.SEEK_END)
    assert archive.read() == WHOLE[-200:]


def _never() -> io.BytesIO:
    raise AssertionError("a file was read again")


class Zeros(io.RawIOBase):
    """Sparse content of any size."""

    def __init__(self, size: int) -> None:
        self._left = size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        self._left -= offset
        return offset

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        count = min(len(buffer), self._left)
        buffer[:count] = bytes(count)
        self._left -= count
        return count


class Window(io.RawIOBase):
    """Lets ``zipfile`` read a virtual file that is too large to be written down."""

    def __init__(self, archive: StoredZip) -> None:
        self._archive = archive

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._archive.seek(offset, whence)

    def tell(self) -> int:
        return self._archive.tell()

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        return self._archive.readinto(buffer)


def test_beyond_four_gigabytes() -> None:
    large = 5 << 30
    crcs = {"large": 0x1234, "tail": zipfile.crc32(b"tail")}
    entries = [
        Entry("large", large, "large", lambda: Zeros(large)),
        Entry("tail", 4, "tail", lambda: io.BytesIO(b"tail")),
    ]
    with zipfile.ZipFile(Window(StoredZip(entries, WHEN, crcs))) as archive:  # type: ignore[arg-type]
        assert [(info.filename, info.file_size) for info in archive.infolist()] == [("large", large), ("tail", 4)]
        assert archive.read("tail") == b"tail"
        with archive.open("large") as member:
            assert member.read(1000) == bytes(1000)


def test_a_file_that_became_shorter_ends_the_reading() -> None:
    archive = StoredZip([Entry("a", 10, "a", lambda: io.BytesIO(b"short"))], WHEN, {})
    with pytest.raises(OSError, match="shorter"):
        archive.read()
