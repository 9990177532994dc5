"""Hostile zip archives around the files of a good adapter: name -> (bytes, code of the problem)."""

from __future__ import annotations

import io
import stat
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace

from tests.hostile.raw_zip import DEFLATED, Entry, build, of, with_last


def zip_of(files: Mapping[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", compression) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for path, data in files.items():
            archive.writestr(path, data)
    return target.getvalue()


def quine_like(data: bytes, depth: int) -> bytes:
    """An archive within an archive within …"""
    for level in range(depth):
        data = zip_of({f"level{level}.zip": data})
    return data


def zip64_hidden() -> bytes:
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


def _local_crc_differs(archive: bytes) -> bytes:
    data = bytearray(archive)
    struct.pack_into("<L", data, 14, 1)
    return bytes(data)


def _unicode_path(name: bytes, shown: bytes) -> bytes:
    """The Info-ZIP Unicode Path field: some programs call the entry ``shown``, others ``name``."""
    return struct.pack("<2HBL", 0x7075, 5 + len(shown), 1, zlib.crc32(name)) + shown


def hostile(files: Mapping[str, bytes]) -> dict[str, tuple[bytes, str]]:
    """``files``: a good adapter's. Every archive holds them, so that only the archive's own fault can refuse it."""
    good = of(files)
    whole = build(good)
    config = files["adapter_config.json"]
    add: Callable[..., bytes] = lambda name, **changes: build([*good, Entry(name, b"x", **changes)])  # noqa: E731
    many = {f"n{number}": b"" for number in range(1001)}
    shared = replace(good[-1], name=b"again.safetensors")
    first = len(build(good[:1])) - 22 - (46 + len(good[0].name))
    return {
        # Names.
        "parent folder": (add(b"../../etc/passwd"), "zip_path"),
        "absolute": (add(b"/etc/passwd"), "zip_path"),
        "drive letter": (add(b"C:/x"), "zip_path"),
        "drive letter without slash": (add(b"C:x"), "zip_path"),
        "backslash": (add(b"..\\..\\x"), "zip_path"),
        "NUL": (add(b"adapter_config.json\0.txt"), "zip_path"),
        "newline": (add(b"a\nb"), "zip_path"),
        "right to left": (add("gp\u202ej.exe".encode(), flags=0x800), "zip_path"),
        "zero width": (add("adapter\u200b_config.json".encode(), flags=0x800), "zip_path"),
        "dot": (add(b"./x"), "zip_path"),
        "two slashes": (add(b"a//b"), "zip_path"),
        "deep": (add(b"a/" * 20 + b"b"), "zip_path"),
        "long": (add(b"a" * 300), "zip_path"),
        "no name": (add(b""), "zip_path"),
        "overlong UTF-8": (add(b"\xc0\xae\xc0\xae\xc0\xafx", flags=0x800), "zip_damaged"),
        "broken UTF-8": (add(b"caf\xe9", flags=0x800), "zip_damaged"),
        "surrogate": (add(b"\xed\xa0\x80x", flags=0x800), "zip_damaged"),
        "capitals": (add(b"Adapter_Config.JSON"), "zip_duplicate"),
        "ligature": (add("adapter_con\ufb01g.json".encode(), flags=0x800), "zip_duplicate"),
        "full width": (add("\uff41dapter_config.json".encode(), flags=0x800), "zip_duplicate"),
        "twice": (build([*good, Entry(b"adapter_config.json", b"{}")]), "zip_duplicate"),
        "file and folder": (add(b"adapter_config.json/"), "zip_duplicate"),
        "Unicode path field": (
            build(with_last([*good, Entry(b"a.txt", b"x")], extra=_unicode_path(b"a.txt", b"README.md"))),
            "zip_headers",
        ),
        # Kinds of entries.
        "symbolic link": (add(b"link", mode=stat.S_IFLNK | 0o777), "zip_link"),
        "device": (add(b"device", mode=stat.S_IFCHR | 0o666), "zip_link"),
        "pipe": (add(b"pipe", mode=stat.S_IFIFO | 0o666), "zip_link"),
        "encrypted": (add(b"secret", flags=1), "zip_encrypted"),
        "strongly encrypted": (add(b"secret", flags=0x41), "zip_encrypted"),
        "LZMA": (add(b"odd", method=14), "zip_method"),
        "AES": (add(b"odd", method=99), "zip_method"),
        "Deflate64": (add(b"odd", method=9), "zip_method"),
        # The directory and the entries' own headers disagree.
        "local name": (build(with_last(good, local={"name": b"b" * len(good[-1].name)})), "zip_headers"),
        "local size": (build(with_last(good, local={"size": 17})), "zip_headers"),
        "local packed size": (build(with_last(good, local={"packed": 17})), "zip_headers"),
        "local checksum": (_local_crc_differs(whole), "zip_headers"),
        "local method": (build(with_last(good, local={"method": DEFLATED})), "zip_headers"),
        "local flags": (build(with_last(good, local={"flags": 0x800})), "zip_headers"),
        "local Zip64 size without the field": (build(with_last(good, local={"size": 0xFFFFFFFF})), "zip_damaged"),
        "descriptor that lies beside sizes": (
            build(with_last(good, flags=8, descriptor=struct.pack("<4s3L", b"PK\x07\x08", 1, 2, 3))),
            "zip_polyglot",
        ),
        "descriptor that lies": (
            build(
                with_last(
                    good,
                    flags=8,
                    descriptor=struct.pack("<4s3L", b"PK\x07\x08", 1, 2, 3),
                    local={"crc": 0, "packed": 0, "size": 0},
                )
            ),
            "zip_headers",
        ),
        "checksum of other bytes": (
            build(with_last(good, local={"crc": 5}, central={"crc": 5})),
            "zip_damaged",
        ),
        "shorter than it says": (
            build([Entry(b"adapter_config.json", config + b" " * 99, DEFLATED, packed=b"\x03\x00"), *good[1:]]),
            "zip_damaged",
        ),
        # Bytes that the directory does not describe, or describes twice.
        "hidden entry in a gap": (
            build(with_last(good, gap=build([Entry(b"hidden", b"x")])[: -22 - 46 - 6])),
            "zip_polyglot",
        ),
        "zeros in a gap": (build(with_last(good, gap=bytes(64))), "zip_polyglot"),
        "hidden entry before the directory": (
            build(good, before_directory=build([Entry(b"hidden", b"x")])[: -22 - 46 - 6]),
            "zip_polyglot",
        ),
        "prefix that the offsets know": (build(good, prefix=b"PK\x03\x04" + bytes(60)), "zip_polyglot"),
        "trailing bytes": (whole + b"trailing", "zip_trailing"),
        "two archives": (whole + whole, "zip_polyglot"),
        "entries share their data": (
            build([*good[:-1], good[-1], replace(shared, packed=b"", central={"packed": 1})]),
            "zip_headers",
        ),
        "entries at one place": (
            build([*good, Entry(b"adapter_model.bin", config, local={}, central={"offset": 0})]),
            "zip_overlap",
        ),
        "directory over the last entry": (
            build(good, end={"offset": first}),
            "zip_polyglot",
        ),
        "fewer entries than there are": (build(good, end={"entries": 1, "here": 1}), "zip_polyglot"),
        "more entries than there are": (build(good, end={"entries": 9, "here": 9}), "zip_polyglot"),
        # The frame.
        "only a magic number": (b"PK\x03\x04", "zip_damaged"),
        "cut in half": (whole[: len(whole) // 2], "zip_damaged"),
        "bytes missing": (whole[:40] + whole[60:], "zip_polyglot"),
        "split": (build(good, end={"disk": 1}), "zip_split"),
        "first disk": (build(good, end={"first": 1}), "zip_split"),
        "comment that lies": (build(good, end={"comment": 9}), "zip_trailing"),
        "directory far away": (build(good, end={"offset": 0xFFFFFFF0}), "zip_polyglot"),
        "hidden Zip64 record": (zip64_hidden(), "zip_zip64"),
        "too many entries": (zip_of(many), "zip_entries"),
        "100,000 entries": (zip_of({f"{number:05}": b"" for number in range(100_000)}), "zip_entries"),
        "large directory": (
            build([*good, Entry(b"x", b"", extra=struct.pack("<2H", 9, 60_000) + bytes(60_000))] * 20),
            "zip_entries",
        ),
        # Archives in archives are files like others: not opened, and not an adapter.
        "zip in a zip": (quine_like(whole, 1), "config_missing"),
        "ten zips in each other": (quine_like(whole, 10), "config_missing"),
    }
