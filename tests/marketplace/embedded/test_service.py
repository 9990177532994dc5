"""Back-off, descriptions, rotation of logs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from marketplace.embedded import service
from marketplace.embedded.faults import Fault
from marketplace.embedded.service import Service, describe, rotate


@dataclass
class Failing:
    """A runner that ends at once, and cannot start while ``broken``."""

    starts: int = 0
    broken: bool = False
    pid: int | None = None

    def poll(self) -> int | None:
        return 1

    def start(self) -> None:
        self.starts += 1
        if self.broken:
            raise Fault("no room")

    def stop(self) -> None:
        return


def delays(watched: Service, times: int) -> list[float]:
    """How long the service waits before each of its next starts, on a clock of the test's own."""
    found, now = [], watched.started_at
    for _ in range(times):
        watched.watch(now)
        assert watched.due_at is not None
        found.append(watched.due_at - now)
        now = watched.due_at
        watched.started_at = now
        watched.watch(now)
    return found


def test_each_failure_waits_longer_up_to_a_limit() -> None:
    said: list[str] = []
    watched = Service("web", Failing(), said.append)
    assert delays(watched, 8) == [0.5, 1, 2, 4, 8, 16, 30, 30]
    assert said[0] == "web ended (status 1); starting it again in 0.5 s"


def test_a_long_life_counts_as_healthy() -> None:
    watched = Service("web", Failing(), lambda _: None)
    delays(watched, 4)
    watched.failures, watched.due_at = 4, None
    watched.watch(watched.started_at + service.HEALTHY_AFTER + 1)
    assert watched.failures == 1


def test_a_start_that_fails_is_tried_again() -> None:
    said: list[str] = []
    runner = Failing(broken=True)
    watched = Service("Redis", runner, said.append)
    watched.due_at = 10.0
    watched.watch(10.0)
    assert said == ["Redis did not start (no room); starting it again in 0.5 s"]
    runner.broken = False
    assert watched.due_at is not None
    watched.watch(watched.due_at)
    assert runner.starts == 2
    assert said[-1].startswith("Redis runs again")


def test_ends_are_described_in_words() -> None:
    assert describe(-9) == "SIGKILL"
    assert describe(3) == "status 3"


def test_logs_rotate_under_an_open_writer(tmp_path: Path) -> None:
    log = tmp_path / "web.log"
    with open(log, "ab", buffering=0) as writer:
        for number in range(5):
            writer.write(f"{number}".encode() * 200)
            rotate(log, limit=100)
        writer.write(b"last")
    assert log.read_bytes() == b"last"
    copies = [(tmp_path / f"web.log.{number}").read_bytes()[:1] for number in (1, 2, 3)]
    assert copies == [b"4", b"3", b"2"]
    assert not (tmp_path / "web.log.4").exists()
