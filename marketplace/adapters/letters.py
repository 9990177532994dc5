"""How often the same two people are written to about the same thing."""

from __future__ import annotations

from collections.abc import Callable

import structlog
from django.core.cache import cache

from marketplace.accounts.models import User
from marketplace.adapters.models import Adapter

logger = structlog.get_logger(__name__)

_DAY = 24 * 60 * 60


def once_a_day(kind: str, sender: User, receiver: User, adapter: Adapter, write: Callable[[], bool]) -> bool:
    """Call ``write``, unless it wrote such a letter within a day; whether it has written now.

    Giving and taking back in turns would otherwise fill somebody's mailbox. The site shows how things stand anyway.
    """
    key = f"letter_{kind}_{sender.pk}_{receiver.pk}_{adapter.pk}"
    if not cache.add(key, True, _DAY):
        logger.info("letter_held_back", kind=kind, user=receiver.pk, adapter=adapter.pk)
        return False
    written = False
    try:
        written = write()
    finally:
        if not written:
            cache.delete(key)
    return written
