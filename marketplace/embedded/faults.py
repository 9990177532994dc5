"""What the demo tells a person in one line instead of a traceback."""

from __future__ import annotations

import errno


class Fault(Exception):
    """The demo cannot go on; the message says what, where and how to mend it, in one line."""


def explain_disk(error: OSError, where: object) -> Fault:
    """A full disk, a closed folder or whatever else the operating system says, in words."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Fault(f"The disk is full: free some space for {where} and start again.")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return Fault(f"{error.filename or where} cannot be written: give this user the right to, or choose DATA=.")
    return Fault(f"{error.filename or where}: {error.strerror or error}")
