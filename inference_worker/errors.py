"""The engine's one family of errors.

Every error can be pickled (Celery and process pools send them across processes) and carries a stable
``code`` for programs beside a ``message`` for people. ``extra`` holds JSON-safe detail.
"""

from __future__ import annotations

from typing import Any


class EngineError(Exception):
    """Base of every fault the engine reports on purpose; anything else is a bug."""

    code = "engine_error"

    def __init__(self, message: str, *, code: str | None = None, extra: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or type(self).code
        self.extra = extra or {}

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (type(self), self.message, self.code, self.extra))


def _rebuild(kind: type[EngineError], message: str, code: str, extra: dict[str, Any]) -> EngineError:
    return kind(message, code=code, extra=extra)


class BadInput(EngineError):
    """The user's data or options are at fault: retrying changes nothing. CLI exit status 3."""

    code = "bad_input"


class Refused(BadInput):
    """The input is understood and well formed, but the operation cannot represent it."""

    code = "refused"


class BlobMissing(EngineError):
    """A blob named by its digest is not in the store."""

    code = "blob_missing"


class BlobCorrupt(EngineError):
    """The bytes stored under a digest have another digest."""

    code = "blob_corrupt"


class StorageFull(EngineError):
    """The disk or the object store has no room left; nothing was written."""

    code = "storage_full"


class Cancelled(EngineError):
    """The person who asked for the work has taken it back."""

    code = "cancelled"


class DeadlineExceeded(EngineError):
    """The request's time is over."""

    code = "deadline_exceeded"


class OutOfMemory(EngineError):
    """The job met its memory limit. Merging fewer adapters or a smaller rank needs less."""

    code = "out_of_memory"
