"""What follows from the person alone (staff, moderators, operators), or from a thing being one's own."""

from __future__ import annotations

from typing import Any, Protocol

from django.conf import settings
from django.db.models import Q

from marketplace.policy.people import Person, is_known

#: Who holds this permission may cancel and retry everybody's jobs.
_OPERATE_JOBS = "jobs.change_job"
_NOBODY = Q(pk__in=[])


class Owned(Protocol):
    """Uploads, jobs, tokens: what belongs to one person and is nobody else's business."""

    owner_id: Any


def owns(person: Person, thing: Owned) -> bool:
    """Whether ``thing`` is the person's own: see it, change it, end it."""
    return is_known(person) and thing.owner_id == person.pk


class Offer(Protocol):
    """What one person offers another."""

    sender_id: Any
    receiver_id: Any


def sent(person: Person, offer: Offer) -> bool:
    """Whether ``offer`` is the person's own, to withdraw."""
    return is_known(person) and offer.sender_id == person.pk


def received(person: Person, offer: Offer) -> bool:
    """Whether ``offer`` is made to the person, to accept or decline."""
    return is_known(person) and offer.receiver_id == person.pk


def owned_by(person: Person) -> Q:
    """``owns`` as a condition on rows with an ``owner``."""
    return Q(owner_id=person.pk) if is_known(person) else _NOBODY


def may_moderate(person: Person) -> bool:
    """Decide on adapters and reports, read decisions and the audit log."""
    return is_known(person) and person.has_perm("accounts.moderate")


def may_enter_admin(person: Person) -> bool:
    """Open the administration; what they find there is decided page by page."""
    return is_known(person) and person.is_staff


def may_see_everything(person: Person) -> bool:
    """Superusers run the site: in the administration they see every row, and may revoke everybody's tokens."""
    return is_known(person) and person.is_superuser


def may_generate(person: Person) -> bool:
    """Ask for answers at all; of which adapters, ``Action.USE`` says."""
    return is_known(person) or bool(settings.PLAYGROUND_ANONYMOUS)


def may_register_bases(person: Person) -> bool:
    """Make a base known or change it: workers read its files."""
    return is_known(person) and person.is_staff


def may_operate_jobs(person: Person) -> bool:
    """Cancel and retry everybody's jobs."""
    return is_known(person) and person.has_perm(_OPERATE_JOBS)
