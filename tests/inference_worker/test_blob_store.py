"""The content-addressed store, on a disk and over a remote file system."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import threading
import time
import uuid
from pathlib import Path

import fsspec
import pytest

from inference_worker.blobs import BlobInfo, BlobStore, BlobWriter
from inference_worker.errors import BlobCorrupt, BlobMissing, StorageFull

DATA = b"some bytes\n" * 1000


@pytest.fixture(params=["file", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> BlobStore:
    if request.param == "file":
        return BlobStore(f"file://{tmp_path / 'store'}")
    return BlobStore(f"memory://{uuid.uuid4().hex}", cache=tmp_path)


def _git(path: Path) -> str:
    return subprocess.run(["git", "hash-object", path], capture_output=True, text=True, check=True).stdout.strip()


def test_bytes_come_back_under_both_digests(store: BlobStore, tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(DATA)
    expected = BlobInfo(hashlib.sha256(DATA).hexdigest(), _git(tmp_path / "data"), len(DATA))
    assert store.put_bytes(DATA) == expected
    assert store.put_file(tmp_path / "data") == expected
    assert store.put_chunks([DATA[:7], b"", DATA[7:]]) == expected
    # A size that was announced wrongly does not spoil git's digest.
    assert store.put_chunks([DATA], size=3) == expected
    assert store.has(expected.sha256)
    assert store.size(expected.sha256) == len(DATA)
    assert store.path(expected.sha256).read_bytes() == DATA
    with store.open(expected.sha256) as file:
        file.seek(5)
        assert file.read(5) == DATA[5:10]
    assert list(store.scratch.iterdir()) == []


def test_nothing_is_visible_before_the_commit(store: BlobStore) -> None:
    digest = hashlib.sha256(DATA).hexdigest()
    with store.writer() as writer:
        writer.write(DATA)
        with writer.open() as file:
            assert file.read(4) == DATA[:4]
        assert writer.finish() == writer.finish()
        assert writer.finish().sha256 == digest
        assert not store.has(digest)
    assert not store.has(digest)
    assert list(store.scratch.iterdir()) == []
    with store.writer(len(DATA)) as writer:
        writer.write(DATA)
        writer.finish()
        writer.commit()
    assert store.has(digest)


def test_missing_and_impossible_names(store: BlobStore) -> None:
    absent = "0" * 64
    for call in (store.open, store.size, store.path):
        with pytest.raises(BlobMissing):
            call(absent)
    for name in ("", "../../etc/passwd", "A" * 64, absent + "\n"):
        with pytest.raises(BlobMissing):
            store.has(name)
    store.delete(absent)


def test_delete(store: BlobStore) -> None:
    info = store.put_bytes(DATA)
    store.delete(info.sha256)
    assert not store.has(info.sha256)


def test_many_writers_of_the_same_bytes(store: BlobStore) -> None:
    found: list[BlobInfo] = []
    threads = [threading.Thread(target=lambda: found.append(store.put_bytes(DATA))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
    assert list(store.scratch.iterdir()) == []


def test_full_disk_is_said_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = BlobStore(f"file://{tmp_path}")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageFull, match="free some space"):
        store.put_bytes(DATA)
    assert list(store.scratch.iterdir()) == []


def test_what_was_written_lately_is_spared(tmp_path: Path) -> None:
    store = BlobStore(f"file://{tmp_path}")
    old, new = store.put_bytes(b"old"), store.put_bytes(b"new")
    at = time.time() - 100
    os.utime(store.path(old.sha256), (at, at))
    assert list(store.stored_before(time.time() - 50)) == [old.sha256]
    assert set(store.stored_before(time.time() + 50)) == {old.sha256, new.sha256}
    store.put_bytes(b"old")
    assert list(store.stored_before(time.time() - 50)) == []


def test_remote_blobs_are_fetched_once_and_verified(tmp_path: Path) -> None:
    name = uuid.uuid4().hex
    store = BlobStore(f"memory://{name}", cache=tmp_path)
    info = store.put_bytes(DATA)
    path = store.path(info.sha256)
    assert path.is_relative_to(tmp_path)
    assert store.path(info.sha256) == path
    path.unlink()
    fsspec.filesystem("memory").pipe_file(f"/{name}/blobs/{info.sha256[:2]}/{info.sha256[2:4]}/{info.sha256}", b"else")
    with pytest.raises(BlobCorrupt):
        store.path(info.sha256)
    assert not path.exists()
    assert list(store.stored_before(time.time() + 50)) == [info.sha256]


def test_documents(store: BlobStore) -> None:
    job = str(uuid.uuid4())
    assert store.get_document(f"plans/{job}/1") is None
    store.put_document(f"plans/{job}/1", b"one")
    store.put_document(f"plans/{job}/1", b"two")
    store.put_document(f"results/{job}/2", b"x")
    assert store.get_document(f"plans/{job}/1") == b"two"
    assert store.jobs_with_documents() == {job}
    store.delete_document(f"plans/{job}/1")
    assert store.get_document(f"plans/{job}/1") is None
    store.delete_documents(job)
    assert store.get_document(f"results/{job}/2") is None
    for name in ("plans/../x/1", "blobs/a", f"plans/{job}/x"):
        with pytest.raises(ValueError, match="not a document's name"):
            store.get_document(name)


def test_abandoned_writes_are_swept(tmp_path: Path) -> None:
    store = BlobStore(f"file://{tmp_path}")
    abandoned = BlobWriter(store)
    abandoned.write(b"half")
    assert store.sweep_scratch(time.time() - 60) == 0
    assert store.sweep_scratch(time.time() + 60) == 1
    abandoned.discard()
