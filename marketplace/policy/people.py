"""Who asks."""

from __future__ import annotations

from django.contrib.auth.models import AnonymousUser

from marketplace.accounts.models import User

Person = User | AnonymousUser


def is_leaving(person: Person) -> bool:
    """Somebody whose account is about to be erased: they look around and may take that back, and do nothing else."""
    return isinstance(person, User) and person.closing_at is not None


def is_known(person: Person) -> bool:
    """Somebody with an account that is in use; a suspended account has the rights of a stranger at the door."""
    return isinstance(person, User) and person.is_active
