"""One file from afar to a file here, going on where an earlier transfer broke off (RFC 9110, 14 and 13.1.5)."""

from __future__ import annotations

import errno
import hashlib
import json
import re
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from inference_worker.errors import StorageFull
from inference_worker.fetching.addresses import Address
from inference_worker.fetching.client import Answer, Client
from inference_worker.fetching.faults import FetchFailed, Interrupted, Restart, TooMuch
from inference_worker.fetching.settings import FetchSettings

_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")
_SHA256 = re.compile(r"[0-9a-f]{64}")
#: An attempt that brought this many bytes is progress.
PROGRESS_BYTES = 1 << 16
MAX_RESTARTS = 2


@dataclass(frozen=True)
class Wanted:
    """A file to be fetched: its name for people, at most how many bytes, and what the hub says of it."""

    address: Address
    path: str
    limit: int
    size: int | None = None
    sha256: str = ""


@dataclass
class _Notes:
    """What is kept beside the bytes: of which file they are. ``etag`` is the last server's, if it is a strong one."""

    url: str
    etag: str = ""
    sha256: str = ""
    total: int | None = None


class Transfer:
    """The transfer of one file into ``folder``, where its bytes and notes stay until somebody deletes the folder.

    ``received`` is called with the number of bytes that are there.
    """

    def __init__(
        self, client: Client, wanted: Wanted, folder: Path, received: Callable[[int], None] = lambda _: None
    ) -> None:
        name = hashlib.sha256(str(wanted.address).encode()).hexdigest()[:24]
        self.path = folder / f"{name}.part"
        self.resumed = 0
        self._notes_path = folder / f"{name}.json"
        self._client, self._wanted, self._received = client, wanted, received
        self._notes = _Notes(str(wanted.address))
        self._before = 0

    def run(self) -> Path:
        """The complete file, its digest compared where the hub tells one.

        Raises ``FetchFailed``, ``AddressRefused`` and ``TooMuch``.
        """
        self._recall()
        for _ in range(MAX_RESTARTS + 1):
            try:
                self._client.patiently(self._wanted.path, self._once, self._progressed)
                self._verify()
            except Restart as fault:
                last = fault
                self._forget()
            else:
                return self.path
        raise FetchFailed(f"{self._wanted.path} is not what {self._wanted.address.host} says it is: {last}.")

    @property
    def have(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    # --- one attempt -------------------------------------------------------------------------------------------------
    def _once(self) -> None:
        have = self._before = self._usable()
        if have and have == self._notes.total:
            return
        headers = {"Range": f"bytes={have}-"} if have else {}
        if have and self._notes.etag:
            headers["If-Range"] = self._notes.etag
        with self._client.get(self._wanted.address, headers) as answer:
            if answer.status == 416 and have:
                raise Restart("the rest of it cannot be had")
            refuse_status(answer, self._wanted.path)
            refuse_form(answer, self._wanted.path)
            start = self._start(answer, have)
            self._compare(answer, start)
            self._remember(answer, start)
            self.resumed += 1 if start else 0
            with _room(), open(self.path, "r+b" if start else "wb") as file:
                file.truncate(start)
                file.seek(start)
                self._receive(answer, file, start)

    def _usable(self) -> int:
        """How many bytes can be gone on from: those whose file can be recognised."""
        recognisable = bool(self._notes.etag or self._notes.sha256)
        return min(self.have, self._notes.total or self.have) if recognisable else 0

    def _start(self, answer: Answer, have: int) -> int:
        """Where the answer's bytes belong."""
        if answer.status == 200:
            return 0
        match = _CONTENT_RANGE.fullmatch(answer.headers.get("content-range", ""))
        if not have or match is None:
            raise FetchFailed(f"{answer.address.host} sends a part of {self._wanted.path} that nobody asked for.")
        if int(match[1]) != have:
            raise Restart("another part came than was asked for")
        return have

    def _compare(self, answer: Answer, start: int) -> None:
        """Whether the rest belongs to the bytes that are here. Raises ``Restart``."""
        if not start:
            return
        etag, sha256, total = _etag(answer), _digest(answer), _total(answer)
        differs = (self._notes.etag and etag and etag != self._notes.etag) or (
            self._notes.sha256 and sha256 and sha256 != self._notes.sha256
        )
        if differs or (self._notes.total is not None and total is not None and total != self._notes.total):
            raise Restart("it has changed meanwhile")

    def _remember(self, answer: Answer, start: int) -> None:
        total = _total(answer)
        if total is not None and total > self._wanted.limit:
            raise too_much(self._wanted.path, total, self._wanted.limit)
        if total is not None and self._wanted.size is not None and total != self._wanted.size:
            raise FetchFailed(
                f"{self._wanted.path} has {self._wanted.size:,} bytes by the hub's list and {total:,} in fact."
            )
        sha256 = self._wanted.sha256 or _digest(answer) or (self._notes.sha256 if start else "")
        etag = _etag(answer) or (self._notes.etag if start else "")
        self._notes = _Notes(str(self._wanted.address), etag, sha256, total if total is not None else self._notes.total)
        with _room():
            self._notes_path.write_text(json.dumps(asdict(self._notes)), encoding="utf-8")

    def _receive(self, answer: Answer, file: IO[bytes], start: int) -> None:
        count = start
        pace = _Pace(self._client.settings)
        for chunk in answer.chunks:
            count += len(chunk)
            if count > self._wanted.limit:
                raise too_much(self._wanted.path, None, self._wanted.limit)
            file.write(chunk)
            pace.keep(len(chunk), answer.address.host)
            self._received(count)
        if self._notes.total is not None and count < self._notes.total:
            raise Interrupted(f"{answer.address.host} sent {count:,} of {self._notes.total:,} bytes")
        if self._notes.total is not None and count > self._notes.total:
            raise Restart(f"{count:,} bytes came where {self._notes.total:,} were announced")
        self._notes.total = count

    # --- before and after --------------------------------------------------------------------------------------------
    def _progressed(self) -> bool:
        return self.have - self._before >= PROGRESS_BYTES

    def _verify(self) -> None:
        if not self._notes.sha256:
            return
        with open(self.path, "rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != self._notes.sha256:
            raise Restart(f"its sha256 is {found[:12]}… instead of {self._notes.sha256[:12]}…")

    def _recall(self) -> None:
        """Notes of an earlier attempt, if they are of this very file."""
        try:
            kept = _Notes(**json.loads(self._notes_path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            kept = _Notes("")
        wanted = self._wanted
        same = kept.url == str(wanted.address) and (not wanted.sha256 or kept.sha256 in ("", wanted.sha256))
        if same:
            self._notes = kept
        else:
            self._forget()

    def _forget(self) -> None:
        self.path.unlink(missing_ok=True)
        self._notes_path.unlink(missing_ok=True)
        self._notes = _Notes(str(self._wanted.address))


class _Pace:
    """Raises ``FetchFailed`` when a server sends less than the least rate over a whole window."""

    def __init__(self, settings: FetchSettings) -> None:
        self._least = settings.min_rate * settings.rate_window
        self._window = settings.rate_window
        self._since, self._count = time.monotonic(), 0

    def keep(self, count: int, host: str) -> None:
        self._count += count
        now = time.monotonic()
        if now - self._since < self._window:
            return
        if self._count < self._least:
            raise FetchFailed(
                f"{host} sends so slowly that it was given up: {self._count:,} bytes in {self._window:g} s."
            )
        self._since, self._count = now, 0


class _room:  # noqa: N801 (reads as a statement)
    """Say when the disk is full."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: object) -> None:
        if isinstance(fault, OSError) and fault.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull(
                "The disk has no room for what is being fetched; free some space and try again."
            ) from fault


def refuse_status(answer: Answer, path: str) -> None:
    """Raise ``FetchFailed`` for every answer without the file."""
    if answer.status in (200, 206):
        return
    host = answer.address.host
    words = {
        401: f"{host} asks for a login before it gives {path}.",
        403: f"{host} does not give {path}: it is private, gated, or the link has run out.",
        404: f"{host} has no {path} at this address.",
        410: f"{host} no longer has {path}.",
        451: f"{host} may not give {path} for legal reasons.",
    }
    raise FetchFailed(words.get(answer.status, f"{host} answers with status {answer.status} when asked for {path}."))


def refuse_form(answer: Answer, path: str) -> None:
    """Raise ``FetchFailed`` for a compressed body, which was not asked for, and for a web page in a file's place."""
    coding = answer.headers.get("content-encoding", "identity").strip().lower()
    if coding not in ("", "identity"):
        raise FetchFailed(f"{answer.address.host} sends {path} compressed ({coding[:20]}) although asked not to.")
    kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind in ("text/html", "application/xhtml+xml"):
        raise FetchFailed(
            f"{answer.address.host} answers with a web page in place of {path}; it may ask for a login, or the address "
            "is that of a page about the file."
        )


def too_much(path: str, size: int | None, limit: int) -> TooMuch:
    has = f"has {size:,} bytes" if size is not None else "is larger"
    return TooMuch(
        f"{path} {has}, and {limit:,} bytes may still be fetched: the site's limit for an upload, or what is left of "
        "your quota."
    )


def _etag(answer: Answer) -> str:
    """The strong validator of the answer, or nothing."""
    etag = answer.headers.get("etag", "").strip()
    return etag if len(etag) > 2 and etag.startswith('"') and len(etag) < 300 else ""


def _digest(answer: Answer) -> str:
    """The sha256 that a hub tells: on its redirect, or as ETag of files that it keeps itself."""
    linked = answer.headers.get("x-linked-etag", "")
    if not linked and "x-repo-commit" in answer.headers:
        linked = answer.headers.get("etag", "")
    found = linked.strip().removeprefix("W/").strip('"')
    return found if _SHA256.fullmatch(found) else ""


def _total(answer: Answer) -> int | None:
    """Bytes of the whole file, as far as the answer says."""
    match = _CONTENT_RANGE.fullmatch(answer.headers.get("content-range", ""))
    if answer.status == 206:
        return int(match[3]) if match and match[3] != "*" else None
    length = answer.headers.get("content-length", "")
    if length.isdecimal() and len(length) <= 18:
        return int(length)
    return None
