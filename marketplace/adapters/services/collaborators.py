"""Who works on an adapter beside its owner."""

from __future__ import annotations

from functools import partial

from django.db import transaction

from marketplace import policy
from marketplace.accounts.models import User
from marketplace.adapters import access_mails, notices
from marketplace.adapters.models import AccessRequest, Adapter, Collaborator
from marketplace.adapters.services.renaming import locked_for_owner
from marketplace.core.errors import Conflict, Invalid, NotFound
from marketplace.jobs.checking import recheck_later
from marketplace.moderation import audit

#: More people than this do not work on one adapter.
MAX_COLLABORATORS = 100


def add_collaborator(*, user: User, adapter: Adapter, username: str, role: str) -> Collaborator:
    """Let somebody load the adapter (``read``) or change it (``write``); who works on it already gets the new role.

    Raises ``Forbidden`` for all but the owner, ``Invalid`` for nobody, oneself, and unknown roles, ``Conflict`` when
    there are too many.
    """
    _check_role(role)
    with transaction.atomic():
        row = locked_for_owner(user, adapter)
        person = _person(username)
        if policy.owns(person, row):
            raise _no_person(f"{row.full_name} is yours already.")
        known = row.collaborators.filter(user=person).first()
        if known is not None:
            return _change(user, row, known, role)
        if row.collaborators.count() >= MAX_COLLABORATORS:
            raise Conflict(f"{row.full_name} has {MAX_COLLABORATORS} collaborators, which is the limit.")
        # A role gives more than they asked for.
        row.access_requests.filter(user=person, state=AccessRequest.State.WAITING).delete()
        added = Collaborator.objects.create(adapter=row, user=person, role=role, added_by=user)
        audit.record(
            actor=user, action="collaborator.add", target=row.full_name, collaborator=person.username, role=role
        )
        notices.tell_added(added)
        transaction.on_commit(partial(access_mails.send_later, access_mails.ADDED, added.pk), robust=True)
    return added


def change_collaborator(*, user: User, adapter: Adapter, username: str, role: str) -> Collaborator:
    """Give a collaborator another role. Raises ``NotFound`` for who is none, ``Invalid``, ``Forbidden``."""
    _check_role(role)
    with transaction.atomic():
        row = locked_for_owner(user, adapter)
        return _change(user, row, _collaborator(row, username), role)


def remove_collaborator(*, user: User, adapter: Adapter, username: str) -> None:
    """Take somebody's role away: the owner anybody's, everybody their own. What it allowed stops.

    Raises ``NotFound`` for who is no collaborator, ``Forbidden``.
    """
    with transaction.atomic():
        row = Adapter.objects.select_for_update(of=("self",)).select_related("owner").get(pk=adapter.pk)
        leaves = policy.is_known(user) and user.username.lower() == username.lower()
        if not leaves:
            policy.require(user, policy.Action.ADMINISTER, row)
        found = _collaborator(row, username)
        audit.record(
            actor=user,
            action="collaborator.leave" if leaves else "collaborator.remove",
            target=row.full_name,
            collaborator=found.user.username,
            role=found.role,
        )
        recheck_later([found.user_id])
        found.delete()


def _change(user: User, adapter: Adapter, known: Collaborator, role: str) -> Collaborator:
    if known.role == role:
        return known
    before, known.role = known.role, role
    known.save(update_fields=["role"])
    audit.record(
        actor=user,
        action="collaborator.change",
        target=adapter.full_name,
        collaborator=known.user.username,
        before=before,
        after=role,
    )
    return known


def _check_role(role: str) -> None:
    if role not in Collaborator.Role.values:
        sentence = f"Choose one of: {', '.join(Collaborator.Role.values)}."
        raise Invalid(sentence, extra={"fields": {"role": [sentence]}})


def _person(username: str) -> User:
    found = User.objects.filter(username__iexact=username.strip(), is_active=True).first()
    if found is None:
        raise _no_person(f"There is nobody named {username.strip()[:60] or '“”'} here.")
    return found


def _no_person(sentence: str) -> Invalid:
    return Invalid(sentence, extra={"fields": {"username": [sentence]}})


def _collaborator(adapter: Adapter, username: str) -> Collaborator:
    found = adapter.collaborators.select_related("user").filter(user__username__iexact=username.strip()).first()
    if found is None:
        raise NotFound(f"{username[:60]} does not work on {adapter.full_name}.")
    return found
