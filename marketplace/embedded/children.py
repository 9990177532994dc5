"""Processes that never outlive whoever started them, however that one ends."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable, Iterable

import psutil

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
#: Loaded before any fork: the child of a fork should do as little as possible.
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def die_with_parent(number: signal.Signals = signal.SIGTERM) -> Callable[[], None]:
    """A ``preexec_fn``: the kernel sends ``number`` when the thread that started the process ends.

    Only Linux offers this; elsewhere the function does nothing and an orderly stop is the only one.
    """

    def ask() -> None:
        ask_for_death_signal(number)

    return ask


def ask_for_death_signal(number: signal.Signals) -> None:
    """Have the kernel send ``number`` to this process when its parent ends."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)


def adopt_orphans() -> None:
    """Make this process the parent of descendants whose own parent dies, so that it can find and end them."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def descendants() -> list[psutil.Process]:
    """Every process under this one, the nearest first."""
    return psutil.Process().children(recursive=True)


def end_all(processes: Iterable[psutil.Process], grace: float) -> None:
    """Ask each to end, wait up to ``grace`` seconds for all of them together, then kill what is left."""
    remaining = list(processes)
    for process in remaining:
        _signal(process, signal.SIGTERM)
    _, remaining = psutil.wait_procs(remaining, timeout=grace)
    for process in remaining:
        _signal(process, signal.SIGKILL)
    psutil.wait_procs(remaining, timeout=grace)


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return


def kill_group(leader: int, number: signal.Signals = signal.SIGKILL) -> None:
    """Signal the whole process group of ``leader``; a group that is gone already is what was wanted."""
    try:
        os.killpg(leader, number)
    except ProcessLookupError:
        return
