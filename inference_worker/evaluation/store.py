"""Outcomes on disk, line by line as they come: a run that was stopped goes on, a run that was made is not made again.

One file per (base, composition, suite, decoding), named by the digest of these; an outcome is kept whatever ``limit``
and metrics it was asked for with.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from inference_worker.contracts.common import BaseFiles

#: Files up to this size count with all their bytes in a base's digest, larger ones with both ends and their size.
WHOLE = 64 << 20
_END = 1 << 20


class OutcomeStore:
    """A context manager that holds the file for itself; ``rows`` maps an example's index to what is known of it."""

    def __init__(self, folder: Path, key: Mapping[str, Any]) -> None:
        name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / f"{name}.jsonl"
        self.rows: dict[int, dict[str, Any]] = {}

    def __enter__(self) -> OutcomeStore:
        self._file = self._path.open("a+b")
        # Two runs of the same evaluation: the second waits and then finds everything done.
        fcntl.flock(self._file, fcntl.LOCK_EX)
        self._file.seek(0)
        whole = 0
        for line in self._file:
            try:
                row = json.loads(line)
                index = row.pop("index")
            except (ValueError, KeyError, AttributeError):
                break
            if not line.endswith(b"\n"):
                break
            whole += len(line)
            self.rows.setdefault(index, {}).update(row)
        # A run that was killed may have left half a line.
        self._file.truncate(whole)
        self._file.seek(whole)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._file.close()

    def add(self, index: int, **values: Any) -> None:
        """Keep what was found for an example, beside what is known of it."""
        self.rows.setdefault(index, {}).update(values)
        self._file.write(json.dumps({"index": index, **values}, ensure_ascii=False).encode() + b"\n")
        self._file.flush()


def base_digest(base: BaseFiles) -> str:
    """What stands for a base in the key of a cache: its files' bytes, or a hub's id with its revision."""
    folder = Path(base.source)
    if not folder.is_dir():
        return f"{base.source}@{base.revision or 'main'}"
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.suffix in (".json", ".safetensors", ".model", ".jinja", ".txt"):
            digest.update(f"{path.name} {path.stat().st_size}\n".encode())
            digest.update(_content(path))
    return digest.hexdigest()


def _content(path: Path) -> bytes:
    size = path.stat().st_size
    with path.open("rb") as file:
        if size <= WHOLE:
            return hashlib.file_digest(file, "sha256").digest()
        head = file.read(_END)
        file.seek(size - _END)
        return hashlib.sha256(head + file.read(_END)).digest()
