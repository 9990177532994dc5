"""Reading what one watches."""

from __future__ import annotations

from django.db.models import Prefetch, QuerySet

from marketplace import policy
from marketplace.adapters.models import Adapter
from marketplace.compositions.models import Composition
from marketplace.core.errors import NotFound
from marketplace.regressions.models import Check, Watch


def watches_of(user: policy.Person) -> QuerySet[Watch]:
    """One's own, with the checks of each, newest first."""
    checks = Check.objects.select_related("suite", "run", "before").order_by("-created_at", "-pk")
    return (
        Watch.objects.filter(policy.owned_by(user))
        .select_related("adapter__owner", "mix__owner", "base")
        .prefetch_related(Prefetch("checks", queryset=checks))
    )


def get_watch(*, user: policy.Person, key: int) -> Watch:
    found = watches_of(user).filter(pk=key).first()
    if found is None:
        raise NotFound("You watch nothing by this number.")
    return found


def watch_on(user: policy.Person, subject: Adapter | Composition) -> Watch | None:
    """The person's own watch on ``subject``."""
    named = {"adapter": subject} if isinstance(subject, Adapter) else {"mix": subject}
    return Watch.objects.filter(policy.owned_by(user), **named).first()
