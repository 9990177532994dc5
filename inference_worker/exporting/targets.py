"""Where an export is written, a piece at a time: a folder, or the blob store without a copy in between."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from inference_worker.blobs import BlobStore
from inference_worker.contracts.common import OutputFile
from inference_worker.errors import Refused


class Sink(Protocol):
    def write(self, data: bytes, /) -> object: ...


class Target(Protocol):
    """``create`` gives a sink for the file ``path``, which exists once the block is left without an exception."""

    def create(self, path: str, size: int | None = None) -> AbstractContextManager[Sink]: ...


class FolderTarget:
    """Files in a folder, each under its name only when it is whole."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder

    @contextmanager
    def create(self, path: str, size: int | None = None) -> Iterator[Sink]:
        target = self._folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{target.name}.partial")
        try:
            with partial.open("wb") as file:
                yield file
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)


class BlobTarget:
    """Files in the blob store; ``files`` lists them. Raises ``Refused`` beyond ``max_bytes`` in all."""

    def __init__(self, store: BlobStore, max_bytes: int) -> None:
        self._store, self._left = store, max_bytes
        self.files: list[OutputFile] = []

    @contextmanager
    def create(self, path: str, size: int | None = None) -> Iterator[Sink]:
        if size is not None:
            self._spend(size)
        with self._store.writer(size) as writer:
            yield writer
            if size is None:
                self._spend(writer.size)
            info = writer.commit()
        self.files.append(OutputFile(path=path, sha256=info.sha256, git_sha1=info.git_sha1, size=info.size))

    def _spend(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise Refused(
                "The export is larger than what exports may take here. Delete exports that you no longer need, or ask "
                "the operator (EXPORT_MAX_BYTES).",
                code="export_too_large",
            )
