"""The words of tus 1.0.0, the protocol of uploads that go on after a break: https://tus.io/protocols/resumable-upload.

Spoken are the core, creation, creation-with-upload, termination, expiration and checksum.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from marketplace.core.errors import AppError, Invalid

VERSION = "1.0.0"
EXTENSIONS = "creation,creation-with-upload,termination,expiration,checksum"
ALGORITHMS = ("sha1", "sha256")
CONTENT_TYPE = "application/offset+octet-stream"

MAX_METADATA = 4096
MAX_PATH = 500
_NUMBER = re.compile(r"[0-9]{1,18}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class OffsetConflict(AppError):
    """The sender is elsewhere in the file than the site; asking for the offset tells it where to go on."""

    status = 409
    code = "offset_conflict"


class Gone(AppError):
    status = 410
    code = "gone"


class UnknownVersion(AppError):
    status = 412
    code = "tus_version"


class WrongContentType(AppError):
    status = 415
    code = "content_type"


class Busy(AppError):
    """Another request is writing to the same file."""

    status = 423
    code = "locked"


class TooSlow(AppError):
    """The sender fell silent or became too slow; what arrived is kept."""

    status = 408
    code = "upload_broken"


class Mismatch(AppError):
    """Other bytes arrived than were announced. The protocol's own status."""

    status = 460
    code = "checksum_mismatch"


@dataclass(frozen=True)
class Metadata:
    """What a sender may say about a file; keys that are not known are kept and given back."""

    header: str = ""
    path: str = ""
    group: str = ""
    fingerprint: str = ""
    sha256: str = ""


@dataclass
class Checksum:
    """``Upload-Checksum``: over the bytes of one request."""

    algorithm: str
    expected: bytes
    _digest: Any = field(init=False)

    def __post_init__(self) -> None:
        self._digest = hashlib.new(self.algorithm, usedforsecurity=False)

    def update(self, data: bytes) -> None:
        self._digest.update(data)

    @property
    def matches(self) -> bool:
        return hmac.compare_digest(self._digest.digest(), self.expected)


def check_version(headers: Mapping[str, str]) -> None:
    if headers.get("Tus-Resumable", "") != VERSION:
        raise UnknownVersion(f"Send the header “Tus-Resumable: {VERSION}”; no other version is spoken here.")


def check_content_type(content_type: str) -> None:
    if content_type.partition(";")[0].strip().lower() != CONTENT_TYPE:
        raise WrongContentType(f"Send the bytes with the header “Content-Type: {CONTENT_TYPE}”.")


def number(headers: Mapping[str, str], name: str) -> int:
    """A header that has to be a non-negative integer."""
    text = headers.get(name, "")
    if not _NUMBER.fullmatch(text):
        raise Invalid(f"The header {name} has to be there and to be a whole number from 0.", code="header")
    return int(text)


def parse_metadata(header: str) -> Metadata:
    """``filename`` (needed), ``group``, ``fingerprint`` and ``sha256`` out of ``Upload-Metadata``."""
    if len(header) > MAX_METADATA:
        raise _metadata(f"has more than {MAX_METADATA} characters")
    pairs: dict[str, str] = {}
    for pair in header.split(",") if header.strip() else []:
        key, _, value = pair.strip().partition(" ")
        if not key or not key.isascii() or not key.isprintable() or key in pairs:
            raise _metadata("has an empty, repeated or unprintable key")
        try:
            pairs[key] = base64.b64decode(value, validate=True).decode()
        except (binascii.Error, ValueError) as fault:
            raise _metadata(f"has a value for “{key[:40]}” that is not UTF-8 in Base64") from fault
    path = pairs.get("filename", "")
    if not path or len(path) > MAX_PATH or "\0" in path:
        raise _metadata(f"needs a “filename” of 1 to {MAX_PATH} characters")
    group, fingerprint, sha256 = pairs.get("group", ""), pairs.get("fingerprint", ""), pairs.get("sha256", "").lower()
    if len(group) > 64 or len(fingerprint) > 200 or "\0" in group + fingerprint:
        raise _metadata("has a “group” of more than 64 or a “fingerprint” of more than 200 characters")
    if sha256 and not _SHA256.fullmatch(sha256):
        raise _metadata("has a “sha256” that is not 64 hexadecimal digits")
    return Metadata(header, path.replace("\\", "/"), group, fingerprint, sha256)


def _metadata(words: str) -> Invalid:
    return Invalid(f"The header Upload-Metadata {words}.", code="header")


def parse_checksum(header: str) -> Checksum | None:
    if not header:
        return None
    algorithm, _, value = header.partition(" ")
    if algorithm not in ALGORITHMS:
        raise Invalid(f"Checksums are {' or '.join(ALGORITHMS)} here.", code="header")
    try:
        return Checksum(algorithm, base64.b64decode(value, validate=True))
    except binascii.Error as fault:
        raise Invalid("The header Upload-Checksum is not Base64.", code="header") from fault
