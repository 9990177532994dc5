"""Keeps services running until somebody says stop, then ends them in order."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from types import FrameType

from marketplace.embedded.service import Command, Service, rotate

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_TICK = 1.0


class Stopped(BaseException):
    """Somebody asked to stop while something was being waited for. Not an error, so nothing may catch it by chance."""


class Supervisor:
    """Starts services in the order they are added and stops them in groups, the last group first."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say = say
        self.groups: list[list[Service]] = []
        self.stopping = False
        self._quiet = False
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)

    @contextlib.contextmanager
    def signals(self) -> Iterator[None]:
        """Within this block the stopping signals raise ``Stopped`` and a child's end wakes the loop."""
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        for number in STOPPING:
            signal.signal(number, self._on_stop)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        try:
            yield
        finally:
            signal.set_wakeup_fd(-1)

    def _on_stop(self, _number: int, _frame: FrameType | None) -> None:
        self.stopping = True
        if not self._quiet:
            # Once only: what stops the services must not be interrupted by a second Ctrl-C.
            self._quiet = True
            raise Stopped

    def start(self, *services: Service) -> None:
        """Start ``services`` as one group."""
        group: list[Service] = []
        self.groups.append(group)
        for service in services:
            group.append(service)
            service.start()

    def watch(self, until: Callable[[], bool] | None = None, tick: float = _TICK) -> None:
        """Restart what ends, until ``until`` holds or ``Stopped`` is raised."""
        while until is None or not until():
            for group in self.groups:
                for service in group:
                    service.watch(time.monotonic())
                    if isinstance(service.runner, Command):
                        rotate(service.runner.log)
            self._sleep(tick)

    def _sleep(self, seconds: float) -> None:
        readable, _, _ = select.select([self._wake_read], [], [], seconds)
        if readable:
            os.read(self._wake_read, 4096)

    def stop(self) -> None:
        """Stop the groups from the last to the first, each group's processes at the same time."""
        self.stopping = True
        self._quiet = True
        while self.groups:
            group = self.groups.pop()
            for service in group:
                if isinstance(service.runner, Command):
                    service.runner.ask_to_stop()
            for service in group:
                service.runner.stop()
