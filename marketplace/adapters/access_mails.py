"""Letters about access: requests, answers, and who was let in. Every one of them stands on the site too."""

from __future__ import annotations

from functools import partial

import structlog
from django.conf import settings
from django.core.mail import send_mail

from marketplace.accounts.models import User
from marketplace.adapters.letters import once_a_day
from marketplace.adapters.models import AccessRequest, Collaborator
from marketplace.celery import app
from marketplace.notifications.models import Kind
from marketplace.notifications.selectors import wants_letter
from marketplace.policy import access_address

logger = structlog.get_logger(__name__)

ASKED, ANSWERED, ADDED = "asked", "answered", "added"
TASK = "marketplace.mail_access"


def send_later(kind: str, key: int) -> None:
    """Have the marketplace worker write the letter. A broker that is away loses a letter, never a request."""
    app.send_task(TASK, args=[kind, key], retry=False)


def send(kind: str, key: int) -> bool:
    """Write the letter; whether there was somebody to write to and still something to say."""
    if kind == ADDED:
        added = Collaborator.objects.select_related("adapter__owner", "user").filter(pk=key).first()
        if added is None:
            return False
        return once_a_day(kind, added.adapter.owner, added.user, added.adapter, partial(_added, added))
    asked = AccessRequest.objects.select_related("adapter__owner", "user").filter(pk=key).first()
    if asked is None:
        return False
    return _asked(asked) if kind == ASKED else _answered(asked)


def _asked(asked: AccessRequest) -> bool:
    if asked.state != AccessRequest.State.WAITING:
        return False
    name, asker = asked.adapter.full_name, asked.user.username
    said = f"They write:\n\n{asked.message}\n\n" if asked.message else ""
    body = f"{asker} asks for access to {name}.\n\n{said}Answer: {settings.SITE_URL}{access_address(asked.adapter)}"
    return _write(asked.adapter.owner, f"{asker} asks for access to {name}", body)


def _answered(asked: AccessRequest) -> bool:
    name = asked.adapter.full_name
    said = f"The owner writes:\n\n{asked.answer}\n\n" if asked.answer else ""
    if asked.state == AccessRequest.State.APPROVED:
        subject, first = f"You have access to {name}", f"You may load {name} now, merge it and generate with it."
    elif asked.state == AccessRequest.State.REFUSED:
        subject, first = f"No access to {name}", f"The owner of {name} does not give you access to it."
    else:
        return False
    return _write(asked.user, subject, f"{first}\n\n{said}{settings.SITE_URL}{asked.adapter.get_absolute_url()}")


def _added(added: Collaborator) -> bool:
    name, owner = added.adapter.full_name, added.adapter.owner.username
    may = "change it and publish new versions" if added.role == Collaborator.Role.WRITE else "load it and use it"
    address = f"{settings.SITE_URL}{added.adapter.get_absolute_url()}"
    return _write(added.user, f"{owner} shares {name} with you", f"You may {may}.\n\n{address}")


def _write(to: User, subject: str, body: str) -> bool:
    if not to.email or not to.is_active or not wants_letter(to, Kind.ACCESS):
        logger.info("access_not_mailed", user=to.pk, why="no e-mail address, suspended, or not wanted")
        return False
    send_mail(subject, f"Hello {to.display_name or to.username},\n\n{body}\n", None, [to.email])
    return True
