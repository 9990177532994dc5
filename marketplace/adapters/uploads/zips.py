"""Zip archives: listed with limits, entries streamed into the blob store one by one, nothing unpacked elsewhere.

Refused: archives with bytes before, behind or between what the directory describes (polyglots), entries whose local
header disagrees with the directory, encryption, links, unusual compression, unsafe or colliding names, bombs.
"""

from __future__ import annotations

import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import IO

from marketplace.adapters.uploads import paths
from marketplace.adapters.uploads.incoming import HEAD_BYTES, Candidate, IncomingFile
from marketplace.adapters.uploads.problems import UploadFault, error

MAX_ENTRIES = 1000
MAX_DIRECTORY = 1 << 20
#: Beyond this many unpacked bytes an archive may hold at most ``MAX_RATIO`` times its packed size.
RATIO_FROM = 64 << 20
MAX_RATIO = 50
_CHUNK = 1 << 18

_END = struct.Struct("<4s4H2LH")
_LOCAL = struct.Struct("<4s5H3L2H")
#: The Zip64 locator stands right before the end record.
_LOCATOR, _LOCATOR_SIZE = b"PK\x06\x07", 20
_REZIP = "Pack the adapter's files again with your system's own zip tool, without a password, and upload that."
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, struct.error, ValueError)


def is_zip(file: IncomingFile) -> bool:
    """Judged by the name and the first bytes: a pickle of torch.save is a zip too, but is not called one."""
    return file.path.lower().endswith(".zip") and file.read(4) in (b"PK\x03\x04", b"PK\x05\x06")


@dataclass
class _Budget:
    """What all entries of one archive may unpack together."""

    packed: int
    limit: int
    unpacked: int = 0

    def spend(self, count: int, place: str) -> None:
        self.unpacked += count
        if self.unpacked > self.limit:
            message = f"Unpacked, the archive is larger than {self.limit} bytes."
            raise UploadFault(error("zip_too_large", place, message, "Leave out what does not belong to the adapter."))
        if self.unpacked > RATIO_FROM and self.unpacked > MAX_RATIO * self.packed:
            message = f"The archive unpacks to more than {MAX_RATIO} times its size."
            raise UploadFault(error("zip_ratio", place, message, "Upload the files themselves instead of a zip."))


def candidates_of(file: IncomingFile, *, limit: int) -> list[Candidate]:
    """The entries that may be picked. Raises ``UploadFault``.

    ``limit`` is how many bytes may be unpacked in all. The archive must not be discarded before the picked entries
    are taken.
    """
    with _faults(file.path), file.open() as stream:
        _check_frame(stream, file)
        with zipfile.ZipFile(stream) as archive:
            infos = archive.infolist()
            _check_names(infos, file.path)
            _check_sizes(infos, file, limit)
            for info in infos:
                _check_entry(info, stream, file.path)
            budget = _Budget(packed=file.size, limit=limit)
            return [
                Candidate(
                    info.filename,
                    info.file_size,
                    _head(archive, info),
                    partial(_take, file, info.filename, budget),
                )
                for info in infos
                if not info.is_dir() and not paths.is_litter(info.filename)
            ]


class _faults:  # noqa: N801 (reads as a statement)
    """Turn whatever the zip library raises about damaged archives into the problem that says so."""

    def __init__(self, place: str) -> None:
        self._place = place

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: object) -> None:
        if isinstance(fault, _DAMAGED):
            message = f"The archive is damaged: {str(fault)[:200] or type(fault).__name__}."
            raise UploadFault(error("zip_damaged", self._place, message, _REZIP)) from fault


def _refuse(code: str, place: str, message: str) -> UploadFault:
    return UploadFault(error(code, place, message, _REZIP))


def _check_frame(stream: IO[bytes], file: IncomingFile) -> None:
    """The archive starts with its first entry, and the directory and its end record reach to the last byte."""
    tail_at = max(0, file.size - 65_557)
    stream.seek(tail_at)
    tail = stream.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < _END.size:
        raise _refuse("zip_damaged", file.path, "The archive has no directory; the upload may have broken off.")
    _, disk, first, here, entries, size, offset, comment = _END.unpack_from(tail, at)
    if disk or first or here != entries:
        raise _refuse("zip_split", file.path, "The archive is one part of several.")
    if entries > MAX_ENTRIES or size > MAX_DIRECTORY:
        raise _refuse("zip_entries", file.path, f"The archive has more than {MAX_ENTRIES} entries.")
    if _LOCATOR in tail[max(0, at - _LOCATOR_SIZE) : at]:
        # zipfile would follow it to another end record, which nobody has looked at here.
        raise _refuse("zip_zip64", file.path, "The archive has a Zip64 end record, which only larger archives need.")
    end = tail_at + at
    if end + _END.size + comment != file.size:
        raise _refuse("zip_trailing", file.path, "There are bytes behind the end of the archive.")
    stream.seek(0)
    if entries and (offset + size != end or stream.read(4) != b"PK\x03\x04"):
        raise _refuse("zip_polyglot", file.path, "There are bytes in the archive that its directory does not describe.")


def _check_names(infos: list[zipfile.ZipInfo], place: str) -> None:
    seen: set[str] = set()
    for info in infos:
        shown = f"{place}: {info.filename[:100]}"
        # zipfile cuts names at NUL and rewrites separators; what the archive really says counts.
        fault = paths.fault_of(info.orig_filename)
        if fault:
            raise _refuse("zip_path", shown, f"The name of an entry {fault}.")
        key = paths.folded(info.filename)
        if key in seen:
            raise _refuse("zip_duplicate", shown, "Two entries have the same name, or differ only in capitals.")
        seen.add(key)


def _check_sizes(infos: list[zipfile.ZipInfo], file: IncomingFile, limit: int) -> None:
    _Budget(packed=file.size, limit=limit).spend(sum(info.file_size for info in infos), file.path)
    if sum(info.compress_size for info in infos) > file.size:
        raise _refuse("zip_overlap", file.path, "Entries of the archive overlap.")


def _check_entry(info: zipfile.ZipInfo, stream: IO[bytes], place: str) -> None:
    shown = f"{place}: {info.filename[:100]}"
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise _refuse("zip_link", shown, "The entry is a link or a device, not a file.")
    if info.flag_bits & 0x41:
        raise _refuse("zip_encrypted", shown, "The entry is encrypted.")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise _refuse("zip_method", shown, "The entry is compressed in an unusual way; deflate and store are accepted.")
    stream.seek(info.header_offset)
    magic, _, flags, method, _, _, crc, packed, size, name_length, _ = _LOCAL.unpack(stream.read(_LOCAL.size))
    name = stream.read(name_length)
    agrees = magic == b"PK\x03\x04" and method == info.compress_type and flags == info.flag_bits
    agrees = agrees and name == info.orig_filename.encode("utf-8" if flags & 0x800 else "cp437", "replace")
    # Bit 3: the sizes stand behind the data. 0xFFFFFFFF: they stand in the Zip64 field.
    if not flags & 0x8 and 0xFFFFFFFF not in (packed, size):
        agrees = agrees and (crc, packed, size) == (info.CRC, info.compress_size, info.file_size)
    if not agrees:
        raise _refuse("zip_headers", shown, "The entry's own header and the archive's directory disagree.")


def _head(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    with archive.open(info) as entry:
        return entry.read(HEAD_BYTES)


def _take(file: IncomingFile, name: str, budget: _Budget) -> IncomingFile:
    """Stream one entry into the scratch folder; zipfile checks its length and checksum on the way."""
    with _faults(f"{file.path}: {name[:100]}"), file.open() as stream, zipfile.ZipFile(stream) as archive:
        info = archive.getinfo(name)
        with archive.open(info) as entry:
            chunks = _counted(partial(entry.read, _CHUNK), budget, name)
            return IncomingFile.receive(name, chunks, info.file_size)


def _counted(read: Callable[[], bytes], budget: _Budget, place: str) -> Iterator[bytes]:
    while chunk := read():
        budget.spend(len(chunk), place)
        yield chunk
