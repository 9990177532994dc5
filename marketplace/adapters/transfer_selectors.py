"""Reading offers of adapters."""

from __future__ import annotations

from django.db.models import Q, QuerySet

from marketplace import policy
from marketplace.adapters.models import Adapter, Transfer
from marketplace.core.errors import NotFound


def _offers() -> QuerySet[Transfer]:
    offers = Transfer.objects.select_related("adapter__owner", "adapter__current__artifact", "sender", "receiver")
    # Measurements are for pages of one adapter.
    return offers.defer("adapter__current__artifact__modules", "adapter__current__artifact__problems")


def waiting_offer(adapter: Adapter) -> Transfer | None:
    """The offer of an adapter that nobody has answered yet."""
    return _offers().filter(adapter=adapter, state=Transfer.State.WAITING).first()


def offers_of(user: policy.Person) -> QuerySet[Transfer]:
    """Offers to and by ``user``, newest first."""
    if not policy.is_known(user):
        return Transfer.objects.none()
    return _offers().filter(Q(sender=user.pk) | Q(receiver=user.pk))


def offers_to(user: policy.Person) -> QuerySet[Transfer]:
    """What waits for the user's answer."""
    return offers_of(user).filter(receiver=user.pk, state=Transfer.State.WAITING)


def get_offer(*, user: policy.Person, key: int) -> Transfer:
    """Raises ``NotFound`` for offers between others as for those that never were."""
    found = offers_of(user).filter(pk=key).first()
    if found is None:
        raise NotFound("There is no such offer, or it is not yours to answer.")
    return found
