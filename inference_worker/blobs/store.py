"""The store: sha256 names, atomic writes, local cache.

Layout below the store's root: ``blobs/ab/cd/<sha256>`` for content, ``plans/{job}/{attempt}``,
``results/{job}/{attempt}`` and ``partials/{job}/0`` for the job machine, ``partial/`` for files that arrive in pieces,
``tmp/`` for writes under way.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import os
import re
import shutil
import tempfile
import time
import uuid
from collections.abc import Container, Iterable, Iterator
from pathlib import Path
from typing import IO, Any, cast
from urllib.parse import urlparse

import fsspec

from inference_worker.blobs.multipart import MultipartPartial, sweep_bucket
from inference_worker.blobs.partial import LocalPartial, Partial, sweep_folder
from inference_worker.blobs.writer import CHUNK, BlobInfo, BlobWriter, room
from inference_worker.errors import BlobCorrupt, BlobMissing

#: Folders of the job machine's named documents.
_DOCUMENTS = ("plans", "results", "partials")
_SHA256 = re.compile(r"[0-9a-f]{64}")


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

    def adopt(self, temporary: Path, sha256: str) -> None:
        """Move a complete local file, which lies on the store's own disk when it has one, under its digest."""
        target = self._name(sha256)
        if self._fs.exists(target):
            if self.is_local:
                # The collection of garbage spares what was written lately.
                os.utime(target)
            return
        with room():
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
            with room(), self.open(sha256) as source, open(temporary, "xb") as target:
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

    # --- files that arrive in pieces ---------------------------------------------------------------------------------
    def partial(self, name: str, length: int) -> Partial:
        """The file ``name`` (hexadecimal digits) of ``length`` bytes that arrives, or arrived, in pieces."""
        if not re.fullmatch(r"[0-9a-f]{32}", name):
            raise ValueError(f"{name!r} is not a partial file's name")
        if self._takes_parts:
            return MultipartPartial(self._fs, f"{self._root}/partial/{name}", self._partials, length)
        return LocalPartial(self, self._partials / name, length)

    def sweep_partials(self, known: Container[str], older_than: float) -> int:
        """Delete partial files that are not ``known`` and were last written before the Unix time ``older_than``."""
        swept = sweep_folder(self._partials, known, older_than)
        if self._takes_parts:
            swept += sweep_bucket(self._fs, f"{self._root}/partial", known, older_than)
        return swept

    @property
    def _takes_parts(self) -> bool:
        protocols = self._fs.protocol
        return "s3" in ((protocols,) if isinstance(protocols, str) else protocols)

    @property
    def _partials(self) -> Path:
        return self.scratch.parent / "partial"

    # --- the job machine's named documents ---------------------------------------------------------------------------
    def put_document(self, name: str, data: bytes) -> None:
        """Write ``plans/…``, ``results/…`` or ``partials/…`` atomically; a second write replaces the first."""
        target = self._document(name)
        with room():
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
        """Ids of the jobs of which a plan or a result, whole or partial, is kept."""
        found: set[str] = set()
        for folder in _DOCUMENTS:
            with contextlib.suppress(FileNotFoundError):
                found.update(str(path).rstrip("/").rpartition("/")[2] for path in self._listing(folder))
        return found

    def delete_documents(self, job: str) -> None:
        """Delete every plan and result of one job, partial ones, too."""
        for folder in _DOCUMENTS:
            with contextlib.suppress(FileNotFoundError):
                self._fs.rm(self._document(f"{folder}/{job}/0").rpartition("/")[0], recursive=True)

    def _listing(self, folder: str) -> list[str]:
        return cast(list[str], self._fs.ls(f"{self._root}/{folder}", detail=False))

    def _document(self, name: str) -> str:
        if not re.fullmatch(r"(plans|results|partials)/[0-9a-f-]{36}/\d+", name):
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
