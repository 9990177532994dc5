"""Waiting for a base, an adapter or room keeps nobody else from being answered."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tiny_bases import resolve, save_adapter, save_base

from inference_worker.contracts.common import AdapterFiles, BaseFiles
from inference_worker.contracts.generate import GenerateEvent, GenerateRequest, Sampling, WeightedAdapter
from inference_worker.serving import pool as pool_module
from inference_worker.serving.model_runner import ModelRunner
from inference_worker.serving.pool import EnginePool
from inference_worker.serving.sequence import GenerationHandle
from inference_worker.serving.settings import EngineSettings

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")

#: One reader: whoever held it while waiting would stop everybody.
NARROW = EngineSettings(device="cpu", dtype="float32", loader_threads=1)
CROWD = 12


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> BaseFiles:
    return save_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def adapters(base: BaseFiles, tmp_path_factory: pytest.TempPathFactory) -> list[AdapterFiles]:
    root = tmp_path_factory.mktemp("adapters")
    return [save_adapter(base, root / str(seed), targets=["q_proj"], rank=2, seed=seed) for seed in range(2)]


def ask(base: BaseFiles, *adapters: AdapterFiles, tokens: int = 4) -> GenerateRequest:
    return GenerateRequest(
        request=f"r{time.monotonic_ns()}",
        base=base,
        adapters=tuple(WeightedAdapter(adapter=files) for files in adapters),
        prompt="the cat sat",
        sampling=Sampling(max_tokens=tokens),
        deadline=time.time() + 60,
    )


def last(handle: GenerationHandle) -> GenerateEvent:
    return list(handle)[-1]


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    opened = threading.Event()
    yield opened
    opened.set()


def test_a_crowd_that_waits_for_one_base_stops_no_other(
    base: BaseFiles, tmp_path: Path, gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = save_base(tmp_path / "other", "gpt2")
    loads: list[str] = []
    real = pool_module.load_base

    def slow(files: BaseFiles, settings: EngineSettings) -> Any:
        loads.append(files.name)
        if files.name == other.name:
            gate.wait(30)
        return real(files, settings)

    monkeypatch.setattr(pool_module, "load_base", slow)
    with EnginePool(NARROW) as pool:
        pool.preload(base)
        crowd = [pool.submit(ask(other), resolve) for _ in range(CROWD)]
        assert last(pool.submit(ask(base), resolve)).kind == "done"
        assert not any(handle.closed for handle in crowd)
        gate.set()
        assert {last(handle).kind for handle in crowd} == {"done"}
    assert loads == [base.name, other.name], "one load for the whole crowd"


def test_a_crowd_that_waits_for_one_adapter_stops_no_other(
    base: BaseFiles, adapters: list[AdapterFiles], gate: threading.Event
) -> None:
    def slow(files: AdapterFiles) -> tuple[Path, Path]:
        gate.wait(30)
        return resolve(files)

    with EnginePool(NARROW) as pool:
        assert last(pool.submit(ask(base, adapters[0]), resolve)).kind == "done"
        crowd = [pool.submit(ask(base, adapters[1]), slow) for _ in range(CROWD)]
        assert last(pool.submit(ask(base, adapters[0]), resolve)).kind == "done"
        assert last(pool.submit(ask(base), resolve)).kind == "done"
        assert not any(handle.closed for handle in crowd)
        gate.set()
        assert {last(handle).kind for handle in crowd} == {"done"}


def test_a_crowd_that_waits_for_room_stops_no_other(
    base: BaseFiles, adapters: list[AdapterFiles], monkeypatch: pytest.MonkeyPatch
) -> None:
    step = ModelRunner.decode

    def slow(self: ModelRunner) -> Any:
        time.sleep(0.05)
        return step(self)

    monkeypatch.setattr(ModelRunner, "decode", slow)
    with EnginePool(NARROW) as pool:
        assert last(pool.submit(ask(base, adapters[0]), resolve)).kind == "done"
        residency: Any = pool.residency()
    room = residency["bases"][0]["adapters"][0]["bytes"]
    with EnginePool(NARROW.model_copy(update={"adapter_cache_bytes": room})) as pool:
        long = pool.submit(ask(base, adapters[0], tokens=100), resolve)
        assert next(iter(long)).kind == "started"
        crowd = [pool.submit(ask(base, adapters[1]), resolve) for _ in range(CROWD)]
        assert last(pool.submit(ask(base), resolve)).kind == "done"
        assert not long.closed
        assert not any(handle.closed for handle in crowd)
        long.cancel()
        assert {last(handle).kind for handle in crowd} == {"done"}


def test_more_than_may_wait_are_turned_away_while_a_base_loads(
    base: BaseFiles, gate: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = pool_module.load_base

    def slow(files: BaseFiles, settings: EngineSettings) -> Any:
        gate.wait(30)
        return real(files, settings)

    monkeypatch.setattr(pool_module, "load_base", slow)
    with EnginePool(NARROW.model_copy(update={"max_waiting": 3})) as pool:
        crowd = [pool.submit(ask(base), resolve) for _ in range(5)]
        assert [last(handle).error_code for handle in crowd[3:]] == ["queue_full"] * 2
        gate.set()
        assert [last(handle).kind for handle in crowd[:3]] == ["done"] * 3
        assert last(pool.submit(ask(base), resolve)).kind == "done"
