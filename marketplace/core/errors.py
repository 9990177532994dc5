"""The marketplace's one family of errors. ``translator`` turns them into HTTP; pages and REST show the same words."""

from __future__ import annotations

from typing import Any

from marketplace.core.plain_text import storable


class AppError(Exception):
    """A fault that the person or program asking can understand and mend; anything else is a bug.

    Its words may repeat what was sent: what no answer can be encoded with is replaced.
    """

    status = 400
    code = "bad_request"

    def __init__(self, message: str, *, code: str | None = None, extra: dict[str, Any] | None = None) -> None:
        self.message: str = storable(message)
        super().__init__(self.message)
        self.code = code or type(self).code
        self.extra: dict[str, Any] = storable(extra or {})

    def envelope(self) -> dict[str, Any]:
        """The body of every error: ``{"code", "message", "extra"}``."""
        return {"code": self.code, "message": self.message, "extra": self.extra}


class Invalid(AppError):
    """The request's content is at fault; ``extra["fields"]`` maps field names to lists of sentences."""

    status = 400
    code = "invalid"


class NotAuthenticated(AppError):
    status = 401
    code = "not_authenticated"


class Forbidden(AppError):
    """Known to exist by the asker, but not theirs to change. What they may not see is ``NotFound`` instead."""

    status = 403
    code = "forbidden"


class NotFound(AppError):
    status = 404
    code = "not_found"


class Gone(AppError):
    """It was here and was deleted. Only for those who could see it before; for others it is ``NotFound``."""

    status = 410
    code = "gone"


class NotAllowed(AppError):
    """The address is there, and takes other methods."""

    status = 405
    code = "method_not_allowed"


class Conflict(AppError):
    """The state has moved on, or the name is taken."""

    status = 409
    code = "conflict"


class LengthRequired(AppError):
    """The body comes in chunks, and nothing says how long it will be."""

    status = 411
    code = "length_required"


class TooLarge(AppError):
    status = 413
    code = "too_large"


class QuotaExceeded(AppError):
    status = 413
    code = "quota_exceeded"


class TooManyRequests(AppError):
    status = 429
    code = "too_many_requests"


class Unavailable(AppError):
    """A part of the system does not answer; trying again later may work."""

    status = 503
    code = "unavailable"


class StorageIsFull(AppError):
    status = 507
    code = "storage_full"
