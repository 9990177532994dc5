"""Zip archives byte by byte, so that every field can lie. Format: PKWARE's APPNOTE.TXT 6.3.10."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

STORED, DEFLATED = 0, 8


@dataclass(frozen=True)
class Entry:
    """One file; ``local`` overrides what its own header says, ``central`` what the directory says."""

    name: bytes
    data: bytes = b""
    method: int = STORED
    flags: int = 0
    mode: int = 0o100644
    extra: bytes = b""
    #: Bytes in front of the entry that nothing describes.
    gap: bytes = b""
    #: A data descriptor behind the data, where flag bit 3 is set.
    descriptor: bytes = b""
    packed: bytes | None = None
    local: Mapping[str, object] = field(default_factory=dict)
    central: Mapping[str, object] = field(default_factory=dict)

    def content(self) -> bytes:
        if self.packed is not None:
            return self.packed
        if self.method != DEFLATED:
            return self.data
        packer = zlib.compressobj(wbits=-15)
        return packer.compress(self.data) + packer.flush()

    def fields(self, changes: Mapping[str, object]) -> dict[str, object]:
        return {
            "name": self.name,
            "flags": self.flags,
            "method": self.method,
            "crc": zlib.crc32(self.data),
            "packed": len(self.content()),
            "size": len(self.data),
            "extra": self.extra,
            **changes,
        }


def _header(magic: bytes, version: bytes, fields: Mapping[str, object], tail: bytes) -> bytes:
    name, extra = fields["name"], fields["extra"]
    assert isinstance(name, bytes)
    assert isinstance(extra, bytes)
    numbers = (fields["flags"], fields["method"], 0, 33, fields["crc"], fields["packed"], fields["size"])
    return magic + version + struct.pack("<4H3L2H", *numbers, len(name), len(extra)) + tail + name + extra


def build(
    entries: Sequence[Entry],
    *,
    prefix: bytes = b"",
    before_directory: bytes = b"",
    comment: bytes = b"",
    end: Mapping[str, int] | None = None,
) -> bytes:
    """The archive. ``end`` overrides fields of the end record: entries, here, disk, first, size, offset, comment."""
    body, directory = bytearray(prefix), bytearray()
    for entry in entries:
        body += entry.gap
        offset = entry.central.get("offset", len(body))
        body += _header(b"PK\x03\x04", struct.pack("<H", 20), entry.fields(entry.local), b"")
        body += entry.content() + entry.descriptor
        fields = entry.fields({key: value for key, value in entry.central.items() if key != "offset"})
        tail = struct.pack("<3H2L", 0, 0, 0, entry.mode << 16, offset)
        directory += _header(b"PK\x01\x02", struct.pack("<2H", 3 << 8 | 20, 20), fields, tail)
    body += before_directory
    count = len(entries)
    values = {"disk": 0, "first": 0, "here": count, "entries": count, "size": len(directory), "offset": len(body)}
    values |= {"comment": len(comment)} | dict(end or {})
    order = ("disk", "first", "here", "entries", "size", "offset", "comment")
    return bytes(body + directory) + struct.pack("<4s4H2LH", b"PK\x05\x06", *(values[key] for key in order)) + comment


def of(files: Mapping[str, bytes], method: int = STORED) -> list[Entry]:
    return [Entry(name.encode(), data, method) for name, data in files.items()]


def with_last(entries: Sequence[Entry], **changes: object) -> list[Entry]:
    """The same entries, the last one changed."""
    return [*entries[:-1], replace(entries[-1], **changes)]  # type: ignore[arg-type]
