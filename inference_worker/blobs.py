"""Content-addressed blob store over fsspec: sha256 names, atomic writes, local cache.

Layout below the store's root: ``blobs/ab/cd/<sha256>`` for content, ``plans/{job}/{attempt}`` and
``results/{job}/{attempt}`` for the job machine, ``tmp/`` for writes under way. Free of torch and Django: the web
side and the workers share it.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import hashlib
import os
import re
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast
from urllib.parse import urlparse

import fsspec

from inference_worker.errors import BlobCorrupt, BlobMissing, StorageFull

CHUNK = 1 << 20
_SHA256 = re.compile(r"[0-9a-f]{64}")
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT}


@dataclass(frozen=True)
class BlobInfo:
    """What is known of stored bytes. ``git_sha1`` is the digest of git's blob object (header + bytes)."""

    sha256: str
    git_sha1: str
    size: int


@contextlib.contextmanager
def _room() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise StorageFull("The disk of the blob store is full; free some space and try again.") from error
        raise


class BlobWriter:
    """Bytes on their way in. Nothing is visible under a digest until ``commit``; leaving without it discards.

    git's blob digest covers the length up front, so it needs ``size`` beforehand; without it ``commit`` reads the
    temporary file once more.
    """

    def __init__(self, store: BlobStore, size: int | None = None) -> None:
        self._store = store
        self._declared = size
        self._sha256 = hashlib.sha256()
        self._git = None if size is None else hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
        self._info: BlobInfo | None = None
        self.size = 0
        with _room():
            store.scratch.mkdir(parents=True, exist_ok=True)
            self._path = store.scratch / uuid.uuid4().hex
            self._file: IO[bytes] = open(self._path, "xb")  # noqa: SIM115 (closed by commit and discard)

    def write(self, data: bytes) -> None:
        with _room():
            self._file.write(data)
        self._sha256.update(data)
        if self._git is not None:
            self._git.update(data)
        self.size += len(data)

    def open(self) -> IO[bytes]:
        """The bytes written so far, as a seekable file of its own."""
        with _room():
            if not self._file.closed:
                self._file.flush()
        return open(self._path, "rb")

    def finish(self) -> BlobInfo:
        """End the writing, make the bytes durable and say what they are. Nothing is visible before ``commit``."""
        if self._info is None:
            with _room():
                self._file.flush()
                os.fsync(self._file.fileno())
            self._file.close()
            if self._git is None or self._declared != self.size:
                git = git_sha1_of(self._path, self.size)
            else:
                git = self._git.hexdigest()
            self._info = BlobInfo(self._sha256.hexdigest(), git, self.size)
        return self._info

    def commit(self) -> BlobInfo:
        """Make the bytes visible under their digest; identical bytes are stored once."""
        info = self.finish()
        try:
            self._store._adopt(self._path, info.sha256)
        finally:
            self._path.unlink(missing_ok=True)
        return info

    def discard(self) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)

    def __enter__(self) -> BlobWriter:
        return self

    def __exit__(self, *exc: object) -> None:
        self.discard()


def git_sha1_of(path: Path, size: int) -> str:
    """sha1 of git's blob object of the file's bytes."""
    digest = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


class BlobStore:
    """A store at ``url`` (``file:///…`` or any fsspec address such as ``s3://bucket/prefix``).

    ``cache`` is a local directory for blobs of remote stores; local stores are read in place.
    """

    def __init__(self, url: str, cache: str | os.PathLike[str] | None = None) -> None:
        parsed = urlparse(url)
        self.url = url
        self.is_local = parsed.scheme in ("", "file")
        if self.is_local:
            self._root = parsed.path
            self._fs: Any = fsspec.filesystem("file")
            self.scratch = Path(self._root) / "tmp"
        else:
            self._fs, self._root = fsspec.core.url_to_fs(url)
            self.scratch = Path(cache or tempfile.gettempdir()) / "brickyard-blobs" / "tmp"
        self._cache = Path(cache or tempfile.gettempdir()) / "brickyard-blobs" / "cache"

    def _name(self, sha256: str) -> str:
        if not _SHA256.fullmatch(sha256):
            raise BlobMissing(f"{sha256!r} is not a sha256 digest")
        return f"{self._root}/blobs/{sha256[:2]}/{sha256[2:4]}/{sha256}"

    # --- content -----------------------------------------------------------------------------------------------------
    def writer(self, size: int | None = None) -> BlobWriter:
        return BlobWriter(self, size)

    def put_bytes(self, data: bytes) -> BlobInfo:
        return self.put_chunks([data], len(data))

    def put_chunks(self, chunks: Iterable[bytes], size: int | None = None) -> BlobInfo:
        with self.writer(size) as writer:
            for chunk in chunks:
                writer.write(chunk)
            return writer.commit()

    def put_file(self, path: str | os.PathLike[str]) -> BlobInfo:
        with open(path, "rb") as file:
            return self.put_chunks(iter(lambda: file.read(CHUNK), b""), os.path.getsize(path))

    def _adopt(self, temporary: Path, sha256: str) -> None:
        target = self._name(sha256)
        if self._fs.exists(target):
            if self.is_local:
                # The collection of garbage spares what was written lately.
                os.utime(target)
            return
        with _room():
            if self.is_local:
                os.makedirs(os.path.dirname(target), exist_ok=True)
                os.chmod(temporary, 0o644)
                os.replace(temporary, target)
                _sync_directory(os.path.dirname(target))
            else:
                self._fs.put_file(str(temporary), target)

    def has(self, sha256: str) -> bool:
        return bool(self._fs.exists(self._name(sha256)))

    def size(self, sha256: str) -> int:
        try:
            return int(self._fs.size(self._name(sha256)))
        except FileNotFoundError as error:
            raise BlobMissing(f"Blob {sha256} is not in the store.") from error

    def open(self, sha256: str) -> IO[bytes]:
        """A seekable binary file."""
        try:
            return cast(IO[bytes], self._fs.open(self._name(sha256), "rb"))
        except FileNotFoundError as error:
            raise BlobMissing(f"Blob {sha256} is not in the store.") from error

    def path(self, sha256: str) -> Path:
        """A local file with the blob's bytes, fetched into the cache (and verified) when the store is remote."""
        name = self._name(sha256)
        if self.is_local:
            if not os.path.exists(name):
                raise BlobMissing(f"Blob {sha256} is not in the store.")
            return Path(name)
        cached = self._cache / sha256
        if not cached.exists():
            self._fetch(sha256, cached)
        return cached

    def _fetch(self, sha256: str, cached: Path) -> None:
        self._cache.mkdir(parents=True, exist_ok=True)
        temporary = self._cache / f".{uuid.uuid4().hex}"
        digest = hashlib.sha256()
        try:
            with _room(), self.open(sha256) as source, open(temporary, "xb") as target:
                while chunk := source.read(CHUNK):
                    digest.update(chunk)
                    target.write(chunk)
            if digest.hexdigest() != sha256:
                raise BlobCorrupt(f"The bytes stored as {sha256} have the digest {digest.hexdigest()}.")
            os.replace(temporary, cached)
        finally:
            temporary.unlink(missing_ok=True)

    def delete(self, sha256: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._fs.rm_file(self._name(sha256))

    def stored_before(self, horizon: float) -> Iterator[str]:
        """Digests of the blobs last written before the Unix time ``horizon``."""
        for name, info in self._fs.find(f"{self._root}/blobs", detail=True).items():
            digest = str(name).rpartition("/")[2]
            if _SHA256.fullmatch(digest) and _written_at(info) < horizon:
                yield digest

    # --- the job machine's named documents ---------------------------------------------------------------------------
    def put_document(self, name: str, data: bytes) -> None:
        """Write ``plans/…`` or ``results/…`` atomically; a second write replaces the first."""
        target = self._document(name)
        with _room():
            if not self.is_local:
                self._fs.pipe_file(target, data)
                return
            os.makedirs(os.path.dirname(target), exist_ok=True)
            self.scratch.mkdir(parents=True, exist_ok=True)
            temporary = self.scratch / uuid.uuid4().hex
            try:
                with open(temporary, "xb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(temporary, target)
            finally:
                temporary.unlink(missing_ok=True)

    def get_document(self, name: str) -> bytes | None:
        try:
            return cast(bytes, self._fs.cat_file(self._document(name)))
        except FileNotFoundError:
            return None

    def delete_document(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._fs.rm_file(self._document(name))

    def jobs_with_documents(self) -> set[str]:
        """Ids of the jobs of which a plan or a result is kept."""
        found: set[str] = set()
        for folder in ("plans", "results"):
            with contextlib.suppress(FileNotFoundError):
                found.update(str(path).rstrip("/").rpartition("/")[2] for path in self._listing(folder))
        return found

    def delete_documents(self, job: str) -> None:
        """Delete every plan and result of one job."""
        for folder in ("plans", "results"):
            with contextlib.suppress(FileNotFoundError):
                self._fs.rm(self._document(f"{folder}/{job}/0").rpartition("/")[0], recursive=True)

    def _listing(self, folder: str) -> list[str]:
        return cast(list[str], self._fs.ls(f"{self._root}/{folder}", detail=False))

    def _document(self, name: str) -> str:
        if not re.fullmatch(r"(plans|results)/[0-9a-f-]{36}/\d+", name):
            raise ValueError(f"{name!r} is not a document's name")
        return f"{self._root}/{name}"

    def sweep_scratch(self, older_than: float) -> int:
        """Delete abandoned temporary files last written before the Unix time ``older_than``; how many."""
        swept = 0
        for path in self.scratch.glob("*"):
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_mtime < older_than:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
                    swept += 1
        return swept


def _written_at(info: dict[str, Any]) -> float:
    """When an entry of an fsspec listing was written, in Unix time; now where the store does not say."""
    written = info.get("mtime", info.get("LastModified"))
    if isinstance(written, datetime.datetime):
        return written.timestamp()
    return float(written) if isinstance(written, int | float) else time.time()


def _sync_directory(path: str) -> None:
    """Make a rename survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
