"""A small parent of the supervisor that outlives it for the moment it takes to end what a killed one left behind."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable
from types import FrameType

import psutil

from marketplace.embedded.children import adopt_orphans, ask_for_death_signal, descendants, end_all
from marketplace.embedded.supervisor import STOPPING

_GRACE = 5.0


def run_guarded(work: Callable[[], int], die_with_parent: bool) -> int:
    """Run ``work`` in a child process and return its exit status; afterwards no descendant is left.

    The stopping signals are passed on to the child, which has a process group of its own, so that a Ctrl-C arrives
    there once. A killed child is noticed here; if this process is killed, the child receives SIGTERM from the kernel.
    """
    adopt_orphans()
    # A signal that comes before the handlers are in place must wait, or it would end this process alone.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    child = os.fork()
    if child == 0:
        _become_child(work)
    if die_with_parent:
        ask_for_death_signal(signal.SIGTERM)
    for number in STOPPING:
        signal.signal(number, lambda number, _frame: _pass_on(child, number))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
    status = _wait_for(child)
    _end_descendants()
    return status


def _become_child(work: Callable[[], int]) -> None:
    """Run ``work`` and leave without returning into the parent's code."""
    os.setpgid(0, 0)
    ask_for_death_signal(signal.SIGTERM)
    for number in STOPPING:
        signal.signal(number, _leave)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
    status = 1
    try:
        status = work()
    except BaseException:  # noqa: BLE001 - the process ends below; a bug must be seen first
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _leave(number: int, _frame: FrameType | None) -> None:
    os._exit(128 + number)


def _pass_on(child: int, number: int) -> None:
    try:
        os.kill(child, number)
    except ProcessLookupError:
        return


def _wait_for(child: int) -> int:
    """The child's exit status as a shell counts it. Orphans that end meanwhile are reaped too."""
    while True:
        pid, status = os.wait()
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            if code < 0:
                print(f"The supervisor was ended by {signal.Signals(-code).name}; ending the rest.", file=sys.stderr)
            return code if code >= 0 else 128 - code


def _end_descendants() -> None:
    """End what is left; those that are orphaned meanwhile come to this process and are ended in the next round."""
    while left := [process for process in descendants() if process.status() != psutil.STATUS_ZOMBIE]:
        end_all(left, _GRACE)
    while True:
        try:
            os.wait()
        except ChildProcessError:
            return
