"""Reading who may have what: requests and collaborators of an adapter, and what concerns one person."""

from __future__ import annotations

from django.db.models import QuerySet

from marketplace import policy
from marketplace.accounts.models import User
from marketplace.adapters.models import AccessRequest, Adapter, Collaborator
from marketplace.core.errors import NotFound


def requests_of(adapter: Adapter) -> QuerySet[AccessRequest]:
    """Everybody's requests for one adapter, for who administers it."""
    return adapter.access_requests.select_related("user", "decided_by")


def waiting_requests(adapter: Adapter) -> int:
    """How many people wait for the owner's answer."""
    return adapter.access_requests.filter(state=AccessRequest.State.WAITING).count()


def request_of(user: policy.Person, adapter: Adapter) -> AccessRequest | None:
    """The person's own request, with the owner's answer."""
    return adapter.access_requests.filter(user=user.pk).first() if policy.is_known(user) else None


def requests_by(user: User) -> QuerySet[AccessRequest]:
    """What somebody asked for, as long as they may see it."""
    seen = Adapter.objects.filter(policy.viewable(user)).values("pk")
    return AccessRequest.objects.filter(user=user, adapter__in=seen).select_related("adapter__owner", "user")


def requests_to(user: User) -> QuerySet[AccessRequest]:
    """What waits for somebody's answer."""
    theirs = Adapter.objects.filter(policy.allowed(user, policy.Action.ADMINISTER)).values("pk")
    waiting = AccessRequest.objects.filter(state=AccessRequest.State.WAITING, adapter__in=theirs)
    return waiting.select_related("adapter__owner", "user")


def asker_of(adapter: Adapter, username: str) -> User:
    """Who asked for the adapter under this name. Raises ``NotFound``."""
    found = User.objects.filter(access_requests__adapter=adapter, username__iexact=username).first()
    if found is None:
        raise NotFound(f"{username[:60]} has not asked for {adapter.full_name}.")
    return found


def collaborators_of(adapter: Adapter) -> QuerySet[Collaborator]:
    return adapter.collaborators.select_related("user", "added_by")


def role_of(user: policy.Person, adapter: Adapter) -> Collaborator | None:
    """What the person may do as a collaborator."""
    return adapter.collaborators.filter(user=user.pk).first() if policy.is_known(user) else None
