"""Who writes a job's result into the marketplace: one function per kind, registered by the app it concerns.

A recorder runs inside the transaction that ends the job, so that a result is either wholly recorded or not at all.
A kind whose plan rests on what its owner may see registers a check: time passes between the plan and its result.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from marketplace.core.errors import Gone
from marketplace.jobs.models import Job

#: In a job's subject: the key of who asked for what was waiting by itself, of somebody else.
HURRIED_BY = "hurried_by"


class Withdrawn(Gone):
    """What the job is about was taken away by its owner, or from them: a check that raises this has the job cancelled.
    Nothing failed."""

    code = "withdrawn"


Recorder = Callable[[Job, dict[str, Any]], None]
FailureRecorder = Callable[[Job], None]

Check = Callable[[Job], None]

_on_success: dict[str, Recorder] = {}
_on_failure: dict[str, FailureRecorder] = {}
_checks: dict[str, Check] = {}
_on_retry: dict[str, Check] = {}
_limited: dict[str, tuple[str, dict[str, Any]]] = {}


def register(kind: str) -> Callable[[Recorder], Recorder]:
    """Decorator: call ``fn(job, result)`` when a job of ``kind`` succeeds. An AppError fails the job in its words."""

    def decorate(recorder: Recorder) -> Recorder:
        if kind in _on_success:
            raise ValueError(f"Two recorders for the kind {kind!r}: {_on_success[kind]!r} and {recorder!r}")
        _on_success[kind] = recorder
        return recorder

    return decorate


def register_failure(kind: str) -> Callable[[FailureRecorder], FailureRecorder]:
    """Decorator: call ``fn(job)`` when a job of ``kind`` failed or was cancelled; ``job.state`` says which."""

    def decorate(recorder: FailureRecorder) -> FailureRecorder:
        if kind in _on_failure:
            raise ValueError(f"Two failure recorders for the kind {kind!r}: {_on_failure[kind]!r} and {recorder!r}")
        _on_failure[kind] = recorder
        return recorder

    return decorate


def register_check(kind: str) -> Callable[[Check], Check]:
    """Decorator: call ``fn(job)`` when a job of ``kind`` is claimed, while it waits and runs whenever rights change,
    before it is tried again and before its success is recorded.

    It raises an AppError when the job's owner may no longer have what was granted when the job was planned.
    """

    def decorate(check: Check) -> Check:
        if kind in _checks:
            raise ValueError(f"Two checks for the kind {kind!r}: {_checks[kind]!r} and {check!r}")
        _checks[kind] = check
        return check

    return decorate


def register_retry(kind: str) -> Callable[[Check], Check]:
    """Decorator: call ``fn(job)`` before an ended job of ``kind`` is tried again. What the plan grants, as room,
    may be taken by now: it writes ``job.request`` anew, unsaved, or raises an AppError."""

    def decorate(renew: Check) -> Check:
        if kind in _on_retry:
            raise ValueError(f"Two renewals for the kind {kind!r}: {_on_retry[kind]!r} and {renew!r}")
        _on_retry[kind] = renew
        return renew

    return decorate


def limit_open(kind: str, what: str, **asked: Any) -> None:
    """Let one person have ``JOBS_OPEN_PER_PERSON`` jobs of ``kind`` (``what`` in the plural) under way, and no more.

    With ``asked``, only jobs whose ``subject`` says this count: others come by themselves.
    """
    if kind in _limited:
        raise ValueError(f"Two limits for the kind {kind!r}")
    _limited[kind] = (what, asked)


def open_limit(kind: str) -> tuple[str, dict[str, Any]] | None:
    """The kind's jobs in the plural, and what the ``subject`` of those that count says; None without a limit."""
    return _limited.get(kind)


def comes_by_itself(job: Job) -> bool:
    """Whether no person asked for it, as the kind's limit counts, and nobody hurried it: nobody waits for it."""
    limit = open_limit(job.kind)
    if limit is None or HURRIED_BY in job.subject:
        return False
    return any(job.subject.get(name) != value for name, value in limit[1].items())


def checked_kinds() -> list[str]:
    """The kinds whose plans may lose their permission."""
    return sorted(_checks)


def check(job: Job) -> None:
    """Raises an AppError when the job's plan is no longer allowed."""
    found = _checks.get(job.kind)
    if found is not None:
        found(job)


def renew(job: Job) -> None:
    """Bring the plan of an ended job up to date. Raises an AppError when it is no longer allowed."""
    check(job)
    found = _on_retry.get(job.kind)
    if found is not None:
        found(job)


def record_success(job: Job, result: dict[str, Any]) -> None:
    check(job)
    recorder = _on_success.get(job.kind)
    if recorder is not None:
        recorder(job, result)


def record_failure(job: Job) -> None:
    recorder = _on_failure.get(job.kind)
    if recorder is not None:
        recorder(job)
