"""Whatever happens to the demo's processes: what dies is started again, and a stop leaves nothing."""

from __future__ import annotations

import os
import signal

import pytest

from tests.marketplace.embedded.running import Miniature, gone


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_a_stop_ends_everything(miniature: Miniature, number: signal.Signals) -> None:
    everybody = miniature.everybody()
    assert len(everybody) == 5  # guard, supervisor, two services, a child of one
    miniature.process.send_signal(number)
    assert "stopping" in miniature.end()
    assert miniature.process.returncode == 0
    assert gone(everybody)


def test_a_second_stop_does_not_interrupt_the_first(miniature: Miniature) -> None:
    everybody = miniature.everybody()
    for _ in range(5):
        miniature.process.send_signal(signal.SIGINT)
    miniature.end()
    assert miniature.process.returncode == 0
    assert gone(everybody)


def test_what_dies_is_started_again(miniature: Miniature) -> None:
    first = miniature.pids("second")[0]
    os.kill(first, signal.SIGKILL)
    miniature.wait(lambda: len(miniature.pids("second")) == 2)
    os.kill(miniature.pids("second")[1], signal.SIGKILL)
    miniature.wait(lambda: len(miniature.pids("second")) == 3)
    miniature.process.terminate()
    said = miniature.end()
    assert "second ended (SIGKILL); starting it again in 1 s" in said or miniature.pids("second")[2] > 0


def test_a_killed_supervisor_leaves_nothing(miniature: Miniature) -> None:
    everybody = miniature.everybody()
    miniature.supervisor.kill()
    assert "ended by SIGKILL" in miniature.end()
    assert miniature.process.returncode == 128 + signal.SIGKILL
    assert gone(everybody)


def test_a_killed_guard_stops_the_supervisor(miniature: Miniature) -> None:
    """The supervisor stops in order; what a service left to itself is nobody's once the guard is gone."""
    supervisor, services = miniature.supervisor, miniature.supervisor.children()
    miniature.guard.kill()
    miniature.process.wait()
    assert gone([supervisor, *services])
