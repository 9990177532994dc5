"""What stays in memory: by bytes, by use, by pin; loads once; failures stay with those who asked."""

from __future__ import annotations

import threading
import time

import pytest

from inference_worker.errors import BadInput
from inference_worker.serving.resident_cache import CacheFull, ResidentCache


def cache(limit: int, evicted: list[str] | None = None) -> ResidentCache[str, str]:
    """Values are strings and as large as they are long."""
    gone = evicted if evicted is not None else []
    return ResidentCache("thing", limit, len, gone.append)


def use(held: ResidentCache[str, str], value: str) -> None:
    held.acquire(value, lambda: value)
    held.release(value)


def test_the_least_recently_used_goes_first() -> None:
    evicted: list[str] = []
    held = cache(9, evicted)
    for value in ("aaa", "bbb", "ccc", "aaa", "dddd"):
        use(held, value)
    assert evicted == ["bbb", "ccc"]
    assert [entry.key for entry in held.entries()] == ["aaa", "dddd"]
    assert held.nbytes == 7


def test_what_is_in_use_or_pinned_stays() -> None:
    held = cache(6)
    held.acquire("aaa", lambda: "aaa")
    use(held, "bbb")
    assert held.pin("bbb")
    with pytest.raises(CacheFull, match="limit") as caught:
        held.acquire("c", lambda: "c")
    assert caught.value.code == "thing_cache_full"
    assert [entry.key for entry in held.entries()] == ["aaa", "bbb"], "nothing goes in vain"
    held.pin("bbb", False)
    use(held, "c")
    assert [entry.key for entry in held.entries()] == ["aaa", "c"]
    held.release("aaa")
    use(held, "ffffff")
    assert not held.pin("aaa")


def test_a_foretold_size_makes_room_before_loading() -> None:
    evicted: list[str] = []
    held = cache(4, evicted)
    use(held, "aaa")
    assert held.acquire("bbb", lambda: "bbb" if evicted else "too early", lambda: 3) == "bbb"
    with pytest.raises(CacheFull):
        held.acquire("cccc", lambda: pytest.fail("must not be loaded"), lambda: 4)


def test_many_threads_load_once() -> None:
    held, loads = cache(100), []

    def load() -> str:
        time.sleep(0.05)
        loads.append(1)
        return "value"

    threads = [threading.Thread(target=lambda: held.acquire("key", load)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(loads) == 1
    assert held.entries()[0].users == 8


def test_a_failed_load_leaves_nothing_behind() -> None:
    held = cache(100)

    def fail() -> str:
        raise BadInput("broken")

    for _ in range(2):
        with pytest.raises(BadInput, match="broken"):
            held.acquire("key", fail)
    assert held.acquire("key", lambda: "mended") == "mended"


def test_waiting_ends_with_a_release_or_when_nobody_uses_anything() -> None:
    held = cache(100)
    assert not held.wait_for_release(5.0)
    held.acquire("key", lambda: "value")
    threading.Timer(0.05, held.release, ["key"]).start()
    start = time.monotonic()
    assert held.wait_for_release(20.0)
    assert time.monotonic() - start < 10
    assert not held.wait_for_release(5.0)


def test_clearing_evicts_everything() -> None:
    evicted: list[str] = []
    held = cache(100, evicted)
    held.acquire("aaa", lambda: "aaa")
    held.clear()
    held.release("aaa")
    assert evicted == ["aaa"]
    assert held.nbytes == 0
