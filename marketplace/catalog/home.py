"""What the home page shows."""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib.auth.models import AnonymousUser
from django.db.models import Count

from marketplace.adapters.models import Adapter
from marketplace.adapters.selectors import listed_adapters

NEWEST = 6
MOST_LIKED = 6
FAMILIES = 6
#: Bricks per family in its row.
BRICKS = 14
#: Five courses of five and four.
WALL = 23


@dataclass(frozen=True)
class Family:
    """A base with the adapters made for it."""

    name: str
    count: int
    adapters: list[Adapter]

    @property
    def others(self) -> int:
        """Those that are not among ``adapters``."""
        return self.count - len(self.adapters)


@dataclass(frozen=True)
class Home:
    """``wall`` is newest first; ``count`` is of all of them. What is private stays out of the window, one's own too."""

    newest: list[Adapter]
    most_liked: list[Adapter]
    wall: list[Adapter]
    families: list[Family]
    count: int


def home() -> Home:
    """The shop window: what everybody sees, whoever looks."""
    listed = listed_adapters(AnonymousUser())
    newest = list(listed.order_by("-created_at", "-id")[:WALL])
    counted = (
        listed.filter(base__isnull=False)
        .order_by()
        .values("base_id", "base__name")
        .annotate(adapters=Count("pk"))
        .order_by("-adapters", "base__name")[:FAMILIES]
    )
    families = [
        Family(
            name=row["base__name"],
            count=row["adapters"],
            adapters=list(listed.filter(base_id=row["base_id"]).order_by("-downloads", "-id")[:BRICKS]),
        )
        for row in counted
    ]
    return Home(
        newest=newest[:NEWEST],
        most_liked=list(listed.order_by("-likes", "-downloads", "-id")[:MOST_LIKED]),
        wall=newest,
        families=families,
        count=listed.count(),
    )
