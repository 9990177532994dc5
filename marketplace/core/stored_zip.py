"""A zip of stored (not compressed) files that exists nowhere: any stretch of it can be read, so downloads can go on.

The same files and time always give the same bytes. Sizes and offsets follow from the files' sizes; their CRC-32 stands
behind each file and in the directory. It is taken from ``crcs`` where it is known, otherwise added up while the file
passes, or by reading the file once more when a reader begins behind it.

Layout after PKWARE's APPNOTE 6.3.10: local headers (4.3.7), data descriptors (4.3.9), central directory (4.3.12), and
the Zip64 records (4.3.14, 4.3.15, 4.5.3) where 32 bits do not hold.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import IO

CHUNK = 1 << 18
_LARGE = 0xFFFFFFFF
#: A data descriptor follows (bit 3), names are UTF-8 (bit 11).
_FLAGS = 0x0808
_CENTRAL = struct.Struct("<4s4B4HL2L5H2L")
_END = struct.Struct("<4s4H2LH")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")


@dataclass(frozen=True)
class Entry:
    """A file of the zip. ``key`` names its content in ``crcs``."""

    path: str
    size: int
    key: str
    open: Callable[[], IO[bytes]]

    @property
    def is_large(self) -> bool:
        return self.size >= _LARGE


class StoredZip(io.RawIOBase):
    """To be read like a file; ``size`` is known beforehand."""

    def __init__(self, entries: Sequence[Entry], when: datetime, crcs: MutableMapping[str, int]) -> None:
        self._entries = entries
        self._when = (max(1980, when.year), when.month, when.day, when.hour, when.minute, when.second)
        self._crcs = crcs
        self._at = 0
        self._source: IO[bytes] | None = None
        # (first byte, length, what gives the bytes) of each stretch; data has no function.
        self._stretches: list[tuple[int, int, Callable[[], bytes] | Entry]] = []
        self._headers: list[int] = []
        end = 0
        for entry in entries:
            self._headers.append(end)
            header = self._local_header(entry)
            end = self._add(end, len(header), lambda header=header: header)  # type: ignore[misc]
            end = self._add(end, entry.size, entry)
            end = self._add(end, 24 if entry.is_large else 16, lambda entry=entry: self._descriptor(entry))  # type: ignore[misc]
        self._directory_at = end
        self.size = self._add(end, len(self._directory(dict.fromkeys((e.key for e in entries), 0))), self._tail)

    def _add(self, start: int, length: int, source: Callable[[], bytes] | Entry) -> int:
        self._stretches.append((start, length, source))
        return start + length

    # --- reading ---------------------------------------------------------------------------------------------------
    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}[whence]
        self._close_source()
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        data = self._some(len(buffer))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def _some(self, wanted: int) -> bytes:
        """At most ``wanted`` bytes of the stretch at hand; empty at the end."""
        for start, length, source in self._stretches:
            if not start <= self._at < start + length:
                continue
            inside, most = self._at - start, min(wanted, start + length - self._at)
            if not isinstance(source, Entry):
                self._close_source()
                return source()[inside : inside + most]
            return self._data(source, inside, most)
        return b""

    def _data(self, entry: Entry, inside: int, most: int) -> bytes:
        if self._source is None:
            self._source = entry.open()
            self._source.seek(inside)
            self._running = 0 if inside == 0 else None
        data = self._source.read(most)
        if not data:
            raise OSError(f"{entry.path} is shorter than it was said to be.")
        if self._running is not None:
            self._running = zlib.crc32(data, self._running)
            if inside + len(data) == entry.size:
                self._crcs[entry.key] = self._running
        return data

    def _close_source(self) -> None:
        if self._source is not None:
            self._source.close()
            self._source = None

    def close(self) -> None:
        self._close_source()
        super().close()

    # --- what stands around the data -------------------------------------------------------------------------------
    def _crc(self, entry: Entry) -> int:
        known = self._crcs.get(entry.key)
        if known is None:
            known = 0
            with entry.open() as file:
                while chunk := file.read(CHUNK):
                    known = zlib.crc32(chunk, known)
            self._crcs[entry.key] = known
        return known

    def _local_header(self, entry: Entry) -> bytes:
        info = zipfile.ZipInfo(entry.path, self._when)
        info.flag_bits = _FLAGS
        info.external_attr = 0o644 << 16
        return info.FileHeader(zip64=entry.is_large)

    def _descriptor(self, entry: Entry) -> bytes:
        form = "<4sL2Q" if entry.is_large else "<4s3L"
        return struct.pack(form, b"PK\x07\x08", self._crc(entry), entry.size, entry.size)

    def _tail(self) -> bytes:
        return self._directory({entry.key: self._crc(entry) for entry in self._entries})

    def _directory(self, crcs: dict[str, int]) -> bytes:
        rows = b"".join(
            self._central(entry, crcs[entry.key], at) for entry, at in zip(self._entries, self._headers, strict=True)
        )
        count, size, start = len(self._entries), len(rows), self._directory_at
        if start >= _LARGE or size >= _LARGE:
            rows += _END_64.pack(b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, size, start)
            rows += _LOCATOR.pack(b"PK\x06\x07", 0, start + size, 1)
        return rows + _END.pack(b"PK\x05\x06", 0, 0, count, count, min(size, _LARGE), min(start, _LARGE), 0)

    def _central(self, entry: Entry, crc: int, at: int) -> bytes:
        name = entry.path.encode()
        year, month, day, hour, minute, second = self._when
        date, time = (year - 1980) << 9 | month << 5 | day, hour << 11 | minute << 5 | second // 2
        wide = [entry.size] * 2 if entry.is_large else []
        wide += [at] if at >= _LARGE else []
        extra = struct.pack(f"<2H{len(wide)}Q", 1, 8 * len(wide), *wide) if wide else b""
        version = 45 if wide else 20
        sizes = min(entry.size, _LARGE)
        return (
            _CENTRAL.pack(
                b"PK\x01\x02", version, 3, version, 0, _FLAGS, 0, time, date, crc, sizes, sizes,
                len(name), len(extra), 0, 0, 0, 0o644 << 16, min(at, _LARGE),
            )
            + name
            + extra
        )  # fmt: skip
