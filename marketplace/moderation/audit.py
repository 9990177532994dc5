"""The audit log: every service that writes calls ``record`` inside its own transaction."""

from __future__ import annotations

from typing import Any

import structlog

from marketplace.accounts.models import User
from marketplace.moderation.models import AuditEntry


def record(*, actor: User | None, action: str, target: str, **detail: Any) -> AuditEntry:
    """Append one entry. ``action`` is ``noun.verb`` (``adapter.publish``), ``target`` a name people recognise.

    The request id and the token's prefix come from the logging context, so services need not pass them around.
    """
    context = structlog.contextvars.get_contextvars()
    return AuditEntry.objects.create(
        actor=actor,
        actor_name=actor.username if actor else "",
        action=action,
        target=target[:200],
        detail=detail,
        request_id=str(context.get("request_id", ""))[:64],
        token_prefix=str(context.get("token_prefix", ""))[:12],
    )
