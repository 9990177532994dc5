"""Files that arrive in pieces into S3: every full part goes up at once, the rest into an object of its own.

S3 takes parts of at least 5 MiB, the last one excepted. What arrives is gathered in an unnamed scratch file of one
part's size; what fills no part when the sender pauses is stored as ``{key}.{part number}`` and read back when the
sender goes on, on whichever machine that is. A process that is killed loses at most one part.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Container, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any, cast

from inference_worker.blobs.partial import Checkpoint, PartialState, Sink, locked_file, write_all
from inference_worker.blobs.writer import CHUNK, room
from inference_worker.errors import BlobMissing

PART_BYTES = 8 << 20
#: S3's limit is 10,000 parts.
MAX_PARTS = 9_000


@dataclass
class S3Objects:
    """The calls of S3 that are needed here, for one key."""

    fs: Any  # s3fs.S3FileSystem
    name: str

    def __post_init__(self) -> None:
        self.bucket, self.key, _ = self.fs.split_path(self.name)

    def begin(self) -> str:
        return cast(str, self.fs.call_s3("create_multipart_upload", Bucket=self.bucket, Key=self.key)["UploadId"])

    def send(self, upload: str, number: int, data: bytes) -> str:
        """Store part ``number`` (from 1); its ETag."""
        answer = self.fs.call_s3(
            "upload_part", Bucket=self.bucket, Key=self.key, UploadId=upload, PartNumber=number, Body=data
        )
        return cast(str, answer["ETag"])

    def complete(self, upload: str, etags: tuple[str, ...]) -> None:
        parts = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, 1)]
        self.fs.call_s3(
            "complete_multipart_upload",
            Bucket=self.bucket,
            Key=self.key,
            UploadId=upload,
            MultipartUpload={"Parts": parts},
        )
        self.fs.invalidate_cache()

    def abort(self, upload: str) -> None:
        # s3fs says NoSuchUpload, which is as good as aborted, as this error.
        with contextlib.suppress(FileNotFoundError, OSError):
            self.fs.call_s3("abort_multipart_upload", Bucket=self.bucket, Key=self.key, UploadId=upload)


@dataclass
class MultipartPartial:
    """``name`` is the object's address below the bucket, ``scratch`` a local folder for locks and part buffers.

    The lock keeps requests of one machine apart. Between machines the caller's checkpoint does: it has to refuse a
    state whose predecessor is not the one that is written down.
    """

    fs: Any
    name: str
    scratch: Path
    length: int
    _objects: S3Objects = field(init=False)

    def __post_init__(self) -> None:
        self._objects = S3Objects(self.fs, self.name)

    @property
    def part_bytes(self) -> int:
        return max(PART_BYTES, -(-self.length // MAX_PARTS))

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        with room():
            self.scratch.mkdir(parents=True, exist_ok=True)
        lock = self.scratch / f"{self.name.rpartition('/')[2]}.lock"
        with locked_file(lock, os.O_RDWR | os.O_CREAT):
            try:
                yield
            finally:
                lock.unlink(missing_ok=True)

    def current(self, state: PartialState) -> PartialState:
        return state

    @contextlib.contextmanager
    def append(self, state: PartialState, checkpoint: Checkpoint | None) -> Iterator[Sink]:
        with room():
            file = tempfile.TemporaryFile(dir=self.scratch, buffering=0)  # noqa: SIM115
        with file:
            if state.tail:
                write_all(file, self._tail(state))
            sink = _PartSink(self, file, state, checkpoint, filled=state.tail)
            try:
                yield sink
            finally:
                sink.keep_rest()

    def _tail(self, state: PartialState) -> bytes:
        # The object may have more: the process was killed after it stored it.
        return cast(bytes, self.fs.cat_file(self._tail_name(state), end=state.tail))

    def _tail_name(self, state: PartialState) -> str:
        return f"{self.name}.{len(state.parts)}"

    def undo(self, written: PartialState, state: PartialState) -> None:
        # Parts and rests that nobody wrote down are overwritten later.
        if written.upload != state.upload:
            self._objects.abort(written.upload)

    def seal(self, state: PartialState) -> None:
        if not state.upload:
            self.fs.pipe_file(self.name, self._tail(state) if state.tail else b"")
            return
        if self.fs.exists(self.name):
            # Sealed before, by a process that was killed before it could say so.
            return
        etags = state.parts
        if state.tail:
            etags = (*etags, self._objects.send(state.upload, len(etags) + 1, self._tail(state)))
        self._objects.complete(state.upload, etags)

    def open(self) -> IO[bytes]:
        try:
            return cast(IO[bytes], self.fs.open(self.name, "rb", block_size=8 * CHUNK))
        except FileNotFoundError as error:
            raise BlobMissing(f"The partial file {self.name} is gone.") from error

    def adopt(self, sha256: str) -> None:
        folder = self.name.rpartition("/partial/")[0]
        target = f"{folder}/blobs/{sha256[:2]}/{sha256[2:4]}/{sha256}"
        if not self.fs.exists(target):
            self.fs.cp_file(self.name, target)

    def delete(self, state: PartialState) -> None:
        if state.upload:
            self._objects.abort(state.upload)
        self.fs.invalidate_cache()
        folder, _, own = self.name.rpartition("/")
        for path in self.fs.find(folder, prefix=own):
            with contextlib.suppress(FileNotFoundError):
                self.fs.rm_file(path)


@dataclass
class _PartSink:
    partial: MultipartPartial
    file: IO[bytes]
    state: PartialState
    checkpoint: Checkpoint | None
    filled: int

    def write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            piece = rest[: self.partial.part_bytes - self.filled]
            write_all(self.file, bytes(piece))
            self.filled += len(piece)
            rest = rest[len(piece) :]
            if self.filled == self.partial.part_bytes:
                self._send_part()

    def _send_part(self) -> None:
        state = self.state
        upload = state.upload or self.partial._objects.begin()
        self.file.seek(0)
        etag = self.partial._objects.send(upload, len(state.parts) + 1, self.file.read(self.filled))
        after = PartialState((len(state.parts) + 1) * self.filled, upload, (*state.parts, etag), 0)
        if self.checkpoint is not None:
            self.checkpoint(after)
        self.state = after
        self.file.seek(0)
        self.file.truncate()
        self.filled = 0

    def keep_rest(self) -> None:
        """Store what fills no part."""
        if self.filled == self.state.tail:
            return
        self.file.seek(0)
        self.partial.fs.pipe_file(self.partial._tail_name(self.state), self.file.read(self.filled))
        offset = len(self.state.parts) * self.partial.part_bytes + self.filled
        self.state = replace(self.state, offset=offset, tail=self.filled)


def sweep_bucket(fs: Any, folder: str, known: Container[str], older_than: float) -> int:
    """``partial.sweep_folder`` for a bucket: objects and multipart uploads below ``folder``."""
    fs.invalidate_cache()
    swept = 0
    for path, info in fs.find(folder, detail=True).items():
        own = str(path).rpartition("/")[2].partition(".")[0]
        if own not in known and info["LastModified"].timestamp() < older_than:
            fs.rm_file(path)
            swept += 1
    bucket, prefix, _ = fs.split_path(folder)
    begun = fs.call_s3("list_multipart_uploads", Bucket=bucket, Prefix=f"{prefix}/").get("Uploads", [])
    for upload in begun:
        own = upload["Key"].rpartition("/")[2]
        if own not in known and upload["Initiated"].timestamp() < older_than:
            S3Objects(fs, f"{folder}/{own}").abort(upload["UploadId"])
            swept += 1
    return swept
