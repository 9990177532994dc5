"""Files that arrive in pieces: on a disk, over a file system without multipart uploads, and in a bucket of a real
server that speaks S3."""

from __future__ import annotations

import hashlib
import logging
import multiprocessing
import random
import signal
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer

from inference_worker.blobs import BlobStore, Partial, PartialBusy, PartialState
from inference_worker.blobs.multipart import PART_BYTES, MultipartPartial

SIZE = 2 * PART_BYTES + 12_345
DATA = random.Random(1).randbytes(SIZE)
NAME = "0123456789abcdef" * 2


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """The address of a server that speaks S3, on loopback."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(params=["file", "memory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BlobStore:
    if request.param == "file":
        return BlobStore(f"file://{tmp_path / 'store'}")
    if request.param == "memory":
        return BlobStore(f"memory://{uuid.uuid4().hex}", cache=tmp_path)
    return _bucket(request.getfixturevalue("s3"), tmp_path, monkeypatch)


@pytest.fixture
def bucket(s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BlobStore:
    return _bucket(s3, tmp_path, monkeypatch)


def _bucket(address: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> BlobStore:
    for name, value in {
        "AWS_ENDPOINT_URL": address,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    name = uuid.uuid4().hex
    store = BlobStore(f"s3://{name}/brickyard", cache=cache)
    # s3fs keeps one client per process and set of options; this one has another server's address.
    type(store._fs).clear_instance_cache()
    store = BlobStore(f"s3://{name}/brickyard", cache=cache)
    store._fs.call_s3("create_bucket", Bucket=name)
    return store


def _send(partial: Partial, state: PartialState, data: bytes, *, chunk: int = 1 << 20) -> PartialState:
    with partial.locked(), partial.append(partial.current(state), None) as sink:
        for start in range(0, len(data), chunk):
            sink.write(data[start : start + chunk])
    return sink.state


def _finish(store: BlobStore, partial: Partial, state: PartialState, data: bytes) -> None:
    digest = hashlib.sha256(data).hexdigest()
    with partial.locked():
        partial.seal(state)
        with partial.open() as file:
            assert hashlib.sha256(file.read()).hexdigest() == digest
            file.seek(3)
            assert file.read(4) == data[3:7]
        partial.adopt(digest)
        partial.adopt(digest)
        partial.delete(state)
    with store.open(digest) as blob:
        assert blob.read() == data
    assert store.sweep_partials((), time.time() + 60) == 0


@pytest.mark.parametrize("cuts", [[], [0], [1], [PART_BYTES], [100, 200, PART_BYTES + 5], [SIZE - 1]])
def test_pieces_of_any_size_make_the_file(store: BlobStore, cuts: list[int]) -> None:
    state = PartialState()
    for start, end in zip([0, *cuts], [*cuts, SIZE], strict=True):
        # Each piece is taken by another object, as after a restart.
        state = _send(store.partial(NAME, SIZE), state, DATA[start:end])
        assert state.offset == end
    _finish(store, store.partial(NAME, SIZE), state, DATA)


@pytest.mark.parametrize("data", [b"", b"small"])
def test_small_and_empty_files(store: BlobStore, data: bytes) -> None:
    partial = store.partial(NAME, len(data))
    _finish(store, partial, _send(partial, PartialState(), data), data)


def test_what_arrived_before_a_fault_is_kept(store: BlobStore) -> None:
    partial = store.partial(NAME, SIZE)
    sinks = []

    def break_off() -> None:
        with partial.locked(), partial.append(PartialState(), None) as sink:
            sinks.append(sink)
            sink.write(DATA[: PART_BYTES + 7])
            raise ConnectionError

    with pytest.raises(ConnectionError):
        break_off()
    assert sinks[0].state.offset == PART_BYTES + 7
    state = _send(partial, sinks[0].state, DATA[PART_BYTES + 7 :])
    _finish(store, partial, state, DATA)


@pytest.mark.parametrize("wrong", [9, PART_BYTES + 9])
def test_a_piece_can_be_undone(store: BlobStore, wrong: int) -> None:
    partial = store.partial(NAME, SIZE)
    before = _send(partial, PartialState(), DATA[:1000])
    with partial.locked():
        with partial.append(before, None) as sink:
            sink.write(b"x" * wrong)
        partial.undo(sink.state, before)
        assert partial.current(before).offset == 1000
    _finish(store, partial, _send(partial, before, DATA[1000:]), DATA)


def test_only_one_may_write(store: BlobStore) -> None:
    partial = store.partial(NAME, SIZE)
    with partial.locked(), pytest.raises(PartialBusy), store.partial(NAME, SIZE).locked():
        pass
    with store.partial(NAME, SIZE).locked():
        pass


def _hold(url: str, held: object) -> None:
    with BlobStore(url).partial(NAME, SIZE).locked():
        held.set()  # type: ignore[attr-defined]
        signal.pause()


def test_the_lock_ends_with_its_process(tmp_path: Path) -> None:
    url = f"file://{tmp_path}"
    context = multiprocessing.get_context("spawn")
    held = context.Event()
    holder = context.Process(target=_hold, args=(url, held), daemon=True)
    holder.start()
    assert held.wait(60)
    partial = BlobStore(url).partial(NAME, SIZE)
    with pytest.raises(PartialBusy), partial.locked():
        pass
    holder.kill()
    holder.join()
    with partial.locked():
        pass


def test_a_disk_knows_more_than_what_was_written_down(tmp_path: Path) -> None:
    """The process was killed after the bytes and before the row."""
    store = BlobStore(f"file://{tmp_path}")
    partial = store.partial(NAME, SIZE)
    state = _send(partial, PartialState(), DATA[:5000])
    assert partial.current(PartialState()) == state


def test_a_full_disk_keeps_what_was_there(tmp_path: Path) -> None:
    """Against a real limit of the operating system."""
    import resource

    store = BlobStore(f"file://{tmp_path}")
    partial = store.partial(NAME, SIZE)
    state = _send(partial, PartialState(), DATA[:5000])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8000, hard))
    try:
        with pytest.raises(OSError, match="too large"):
            _send(partial, state, DATA[5000:9000])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    after = partial.current(state)
    assert after.offset == 8000
    _finish(store, partial, _send(partial, after, DATA[8000:]), DATA)


def test_checkpoints_follow_the_parts_and_may_end_the_writing(bucket: BlobStore) -> None:
    partial = bucket.partial(NAME, SIZE)
    assert isinstance(partial, MultipartPartial)
    seen: list[PartialState] = []
    with partial.locked(), partial.append(PartialState(), seen.append) as sink:
        sink.write(DATA)
    assert [state.offset for state in seen] == [PART_BYTES, 2 * PART_BYTES]
    assert sink.state.offset == SIZE
    assert sink.state.tail == 12_345
    # Killed after the first part: what was written down last is where it goes on.
    state = _send(bucket.partial(NAME, SIZE), seen[0], DATA[PART_BYTES:])
    with partial.locked():
        partial.seal(state)
        # Sealed once more by a process that did not hear of it.
        partial.seal(state)
    _finish(bucket, partial, state, DATA)


def test_a_bucket_is_left_clean(bucket: BlobStore) -> None:
    partial = bucket.partial(NAME, SIZE)
    state = _send(partial, PartialState(), DATA[: PART_BYTES + 5])
    with partial.locked():
        partial.delete(state)
        partial.delete(state)
    assert bucket.sweep_partials((), time.time() + 60) == 0
    _send(partial, PartialState(), DATA[: PART_BYTES + 5])
    assert bucket.sweep_partials({NAME}, time.time() + 60) == 0
    # The object of the tail, and the multipart upload (of which this server says that it began in 2010).
    assert bucket.sweep_partials((), time.time() + 60) == 2
    assert bucket.sweep_partials((), time.time() + 60) == 0


def test_forgotten_files_are_swept(tmp_path: Path) -> None:
    store = BlobStore(f"file://{tmp_path}")
    partial = store.partial(NAME, SIZE)
    _send(partial, PartialState(), b"half")
    assert store.sweep_partials({NAME}, time.time() + 60) == 0
    assert store.sweep_partials((), time.time() + 60) == 1
    assert not any((tmp_path / "partial").iterdir())


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "A" * 32, "0" * 31])
def test_impossible_names(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="not a partial file"):
        BlobStore(f"file://{tmp_path}").partial(name, 1)
