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

from django.conf import settings

from marketplace.adapters.uploads import paths
from marketplace.adapters.uploads.incoming import HEAD_BYTES, Candidate, IncomingFile
from marketplace.adapters.uploads.problems import UploadFault, error

MAX_ENTRIES = settings.ZIP_MAX_ENTRIES
MAX_DIRECTORY = 1 << 20
#: Beyond this many unpacked bytes an archive may hold at most ``MAX_RATIO`` times its packed size.
RATIO_FROM = settings.ZIP_RATIO_FROM_BYTES
MAX_RATIO = settings.ZIP_MAX_RATIO
_CHUNK = 1 << 18

_END = struct.Struct("<4s4H2LH")
_LOCAL = struct.Struct("<4s5H3L2H")
#: The Zip64 locator stands right before the end record.
_LOCATOR, _LOCATOR_SIZE = b"PK\x06\x07", 20
#: Numbers of extra fields.
_ZIP64, _UNICODE_PATH = 0x0001, 0x7075
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
        entries, directory_at = _check_frame(stream, file)
        with zipfile.ZipFile(stream) as archive:
            infos = archive.infolist()
            if len(infos) != entries:
                message = "The directory holds another number of entries than its end record says."
                raise _refuse("zip_polyglot", file.path, message)
            _check_names(infos, file.path)
            _check_sizes(infos, file, limit)
            _check_tiling(infos, stream, directory_at, file.path)
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


def _check_frame(stream: IO[bytes], file: IncomingFile) -> tuple[int, int]:
    """The archive starts with its first entry, and the directory and its end record reach to the last byte.

    Returns how many entries the directory claims, and where it starts.
    """
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
    # The archive without entries is its end record alone.
    framed = offset + size == end and (stream.read(4) == b"PK\x03\x04" if entries else end == 0)
    if not framed:
        raise _refuse("zip_polyglot", file.path, "There are bytes in the archive that its directory does not describe.")
    return entries, offset


def _check_tiling(infos: list[zipfile.ZipInfo], stream: IO[bytes], directory_at: int, place: str) -> None:
    """Entries follow one another from the first byte to the directory. Programs that read an archive from its start
    would find other files in the gaps, and bombs let entries share their data."""
    position = 0
    for info in sorted(infos, key=lambda item: item.header_offset):
        if info.header_offset < position:
            raise _refuse("zip_overlap", f"{place}: {info.filename[:100]}", "Entries of the archive overlap.")
        if info.header_offset > position:
            message = "There are bytes in the archive that its directory does not describe."
            raise _refuse("zip_polyglot", f"{place}: {info.filename[:100]}", message)
        position = _check_entry(info, stream, place)
    if position > directory_at:
        raise _refuse("zip_overlap", place, "The archive's last entry and its directory overlap.")
    if position < directory_at:
        raise _refuse("zip_polyglot", place, "There are bytes in the archive that its directory does not describe.")


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


def _check_entry(info: zipfile.ZipInfo, stream: IO[bytes], place: str) -> int:
    """The entry is a plain file whose own header says what the directory says; where it ends."""
    shown = f"{place}: {info.filename[:100]}"
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise _refuse("zip_link", shown, "The entry is a link or a device, not a file.")
    if info.flag_bits & 0x41:
        raise _refuse("zip_encrypted", shown, "The entry is encrypted.")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise _refuse("zip_method", shown, "The entry is compressed in an unusual way; deflate and store are accepted.")
    stream.seek(info.header_offset)
    magic, _, flags, method, _, _, crc, packed, size, name_length, extra_length = _LOCAL.unpack(
        stream.read(_LOCAL.size)
    )
    name, extra = stream.read(name_length), _fields(stream.read(extra_length))
    agrees = magic == b"PK\x03\x04" and method == info.compress_type and flags == info.flag_bits
    agrees = agrees and name == info.orig_filename.encode("utf-8" if flags & 0x800 else "cp437", "replace")
    # Some programs take the name from this field instead, others do not know it.
    agrees = agrees and not any(_UNICODE_PATH in fields for fields in (extra, _fields(info.extra)))
    if 0xFFFFFFFF in (packed, size):
        size, packed = struct.unpack_from("<2Q", extra.get(_ZIP64, b""))
    described = (crc, packed, size)
    wanted = (info.CRC, info.compress_size, info.file_size)
    end = info.header_offset + _LOCAL.size + name_length + extra_length + info.compress_size
    if flags & 0x8:
        # Where the size was not known beforehand, it stands behind the data; before them are zeros or the same.
        stream.seek(end)
        length = _descriptor(stream.read(24), wanted)
        agrees = agrees and (described == wanted or (bool(length) and not any(described)))
        end += length
    else:
        agrees = agrees and described == wanted
    if not agrees:
        raise _refuse("zip_headers", shown, "The entry's own header and the archive's directory disagree.")
    return end


def _fields(extra: bytes) -> dict[int, bytes]:
    """The extra fields of a header by their number."""
    found = {}
    while len(extra) >= 4:
        number, length = struct.unpack_from("<2H", extra)
        found[number] = extra[4 : 4 + length]
        extra = extra[4 + length :]
    return found


def _descriptor(data: bytes, wanted: tuple[int, int, int]) -> int:
    """The length of the data descriptor at the start of ``data`` that says ``wanted``; 0 when there is none."""
    for form in ("<4s3L", "<4sL2Q", "<3L", "<L2Q"):
        length = struct.calcsize(form)
        if len(data) >= length:
            values = struct.unpack_from(form, data)
            if values in (wanted, (b"PK\x07\x08", *wanted)):
                return length
    return 0


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
