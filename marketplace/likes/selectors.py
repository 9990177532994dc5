"""Reading likes."""

from __future__ import annotations

from marketplace import policy
from marketplace.adapters.models import Adapter
from marketplace.likes.models import Like


def is_liked(*, user: policy.Person, adapter: Adapter) -> bool:
    return user.is_authenticated and Like.objects.filter(user=user, adapter=adapter).exists()
