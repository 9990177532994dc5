"""What one adapter of the library is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

BASE_NAME = "wordsmith-v1"


def repository(base: str) -> str:
    """How adapters name the base that they belong to."""
    return f"brickyard/{base}"


BASE_REPOSITORY = repository(BASE_NAME)

ATTENTION = ("q_proj", "v_proj")
ALL_LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True)
class AdapterSpec:
    """One adapter. ``tasks`` names what it teaches (one task, but for multi-task adapters), ``targets`` the projections
    it changes; alpha is twice the rank. ``effort`` multiplies the recipe's number of steps, ``breadth`` the examples
    of each; ``rate`` is its own learning rate, where the recipe's does not do."""

    name: str
    title: str
    tasks: tuple[str, ...]
    owner: str
    license: str
    tags: tuple[str, ...]
    description: str
    targets: tuple[str, ...] = ATTENTION
    rank: int = 8
    effort: float = 1.0
    breadth: float = 1.0
    rate: float = 0.0
    rslora: bool = False
    dora: bool = False
    rank_pattern: Mapping[str, int] = field(default_factory=dict)
    modules_to_save: tuple[str, ...] = ()
    base: str = BASE_NAME

    @property
    def task(self) -> str:
        """The one task of an adapter that has one."""
        (task,) = self.tasks
        return task

    @property
    def repository(self) -> str:
        return repository(self.base)

    @property
    def alpha(self) -> int:
        # Rank stabilisation divides by the square root of the rank: the same scale of 2 then asks for a smaller alpha.
        return round(2 * self.rank**0.5) if self.rslora else 2 * self.rank
