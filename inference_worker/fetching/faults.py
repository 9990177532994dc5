"""What may go wrong on the way, in words for the person who asked."""

from __future__ import annotations

from inference_worker.errors import BadInput


class AddressRefused(BadInput):
    """The address may not be asked: its form, its port, or where its name leads."""

    code = "address_refused"


class FetchFailed(BadInput):
    """The other side does not give what was asked for; asking again changes nothing by itself."""

    code = "fetch_failed"


class TooMuch(BadInput):
    """More bytes than are allowed here."""

    code = "too_large"


class Interrupted(Exception):
    """A transfer broke off in a way that may pass: it is tried again and goes on where it was. Never leaves the
    package."""


class Restart(Exception):
    """What was kept of an earlier transfer is of no use: the file has changed, or turned out wrong."""
