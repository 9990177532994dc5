"""Zip archives of good files with lying fields, odd names, gaps or changed bytes."""

from __future__ import annotations

import random
import struct
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from zlib import crc32

from tests.hostile.mutations import edit_bytes
from tests.hostile.raw_zip import DEFLATED, STORED, Entry, build, of


def mutate_archive(good: Mapping[str, bytes], chance: random.Random) -> bytes:
    """A zip of the files, changed in one to three ways; some of them are harmless."""
    entries = of(good, chance.choice((STORED, DEFLATED)))
    how = chance.randrange(6)
    if how == 0:
        return edit_bytes(build(entries), chance)
    if how == 1:
        archive = build(entries)
        return edit_bytes(archive, chance, start=archive.index(b"PK\x01\x02"))
    change = _harmless if how in (2, 3) else _odd
    for _ in range(chance.randint(1, 3)):
        index = chance.randrange(len(entries))
        entries[index] = change(entries[index], chance)
        if chance.random() < 0.3:
            name = chance.choice((b"notes.txt", b"logs/", b".DS_Store", "caf\xe9".encode("cp437"), *ENTRY_NAMES))
            entries.insert(chance.randrange(len(entries) + 1), Entry(name, b"" if name.endswith(b"/") else b"x"))
    end = {}
    if how == 5 and chance.random() < 0.5:
        fields = ("entries", "here", "size", "offset", "comment", "disk")
        end = {chance.choice(fields): chance.choice((0, 1, 2, 3, 60, 200, 65535))}
    comment = chance.choice((b"", b"", b"packed by hand", b"PK\x05\x06" + bytes(18)))
    return build(entries, end=end, comment=comment, before_directory=chance.choice((b"", b"", b"", b"", bytes(9))))


def _harmless(entry: Entry, chance: random.Random) -> Entry:
    """What archivers of all kinds do."""
    how = chance.randrange(5)
    if how == 0:
        return replace(entry, extra=b"UT\x05\0\x03" + bytes(4))
    if how == 1:
        return replace(entry, mode=chance.choice((0, 0o100755, 0o100600)))
    if how == 2:
        return replace(entry, method=chance.choice((STORED, DEFLATED)))
    if how == 3:
        return replace(entry, flags=0x800)
    numbers = (crc32(entry.data), len(entry.content()), len(entry.data))
    form, magic = chance.choice((("<4s3L", (b"PK\x07\x08",)), ("<3L", ()), ("<4sL2Q", (b"PK\x07\x08",))))
    unknown = {"crc": 0, "packed": 0, "size": 0}
    return replace(entry, flags=8, descriptor=struct.pack(form, *magic, *numbers), local=unknown)


ENTRY_NAMES = (
    b"adapter_config.json",
    b"ADAPTER_CONFIG.JSON",
    b"../x",
    b"/x",
    b"C:\\x",
    b"x\0.json",
    b"x/",
    b"",
    b"\xff\xfe",
    b"adapter_model.bin",
    "README\u200b.md".encode(),
    b"a.zip",
    b"__MACOSX/._x",
    b"sub/adapter_config.json",
    b"a" * 256,
    "ａ".encode(),
)


def _odd(entry: Entry, chance: random.Random) -> Entry:
    how = chance.randrange(9)
    field = chance.choice(("crc", "packed", "size", "method", "flags", "extra", "name"))
    values: dict[str, tuple[Any, ...]] = {
        "crc": (0, 1),
        "packed": (0, 1, 10**6, 0xFFFFFFFF),
        "size": (0, 1, 10**6, 0xFFFFFFFF),
        "method": (0, 8, 12, 14),
        "flags": (0, 1, 8, 0x40, 0x800, 0x2000),
        "extra": (b"", b"\x01\0\x10\0" + bytes(16), b"up\x09\0" + bytes(9), b"\x01"),
        "name": ENTRY_NAMES,
    }
    value = chance.choice(values[field])
    if how in (0, 1):
        return replace(entry, local={**entry.local, field: value})
    if how in (2, 3):
        return replace(entry, central={**entry.central, field: value})
    if how == 4:
        return replace(entry, local={**entry.local, field: value}, central={**entry.central, field: value})
    if how == 5:
        return replace(entry, mode=chance.choice((0, 0o120777, 0o040755, 0o060644, 0o777)))
    if how == 6:
        return replace(entry, gap=chance.choice((b"", bytes(3), b"PK\x03\x04" + bytes(40))))
    if how == 7:
        return replace(entry, flags=8, descriptor=chance.choice((b"", bytes(12), b"PK\x07\x08" + bytes(12))))
    return replace(entry, central={**entry.central, "offset": chance.choice((0, 1, 30, 2**31))})
