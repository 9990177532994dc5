"""Database connections of answers that stream for long.

A connection belongs to the request's thread and goes back to the pool when the answer ends. A reader of a stream
would so hold one for minutes, and a dozen readers all of them.
"""

from __future__ import annotations

from asgiref.sync import sync_to_async
from django.db import connections


def release_connections() -> None:
    """Give this thread's connections back to the pool; the next query takes one again."""
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close()


#: The same from an asynchronous view, for the thread in which its synchronous parts run.
arelease_connections = sync_to_async(release_connections)
