"""What may be watched, by its name."""

from __future__ import annotations

from marketplace import policy
from marketplace.adapters.models import Adapter
from marketplace.compositions.members import find_adapter
from marketplace.compositions.mix_selectors import PREFIX, find_mix
from marketplace.compositions.models import Composition


def find_subject(*, user: policy.Person, full_name: str) -> Adapter | Composition:
    """``owner/name`` or ``mix/owner/name``. Raises ``Invalid`` and ``NotFound``."""
    if full_name.startswith(PREFIX):
        return find_mix(user=user, full_name=full_name)
    return find_adapter(user=user, full_name=full_name)
