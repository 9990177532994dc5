"""Which waiting rows join the running ones, and when. Knows no model.

First come, first served: the row at the head of the queue is never overtaken, so nothing starves. A row may join only
while the padded cache stays within its limit even if every row uses its whole budget.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from collections.abc import Sequence as SequenceOf
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from inference_worker.errors import EngineError


class Row(Protocol):
    """What the policy looks at."""

    prompt: tuple[int, ...]

    @property
    def budget(self) -> int: ...

    @property
    def width(self) -> int: ...


class Running(Protocol):
    """A row of the batch, as far as the policy cares."""

    @property
    def budget(self) -> int: ...


RowType = TypeVar("RowType", bound=Row)


@dataclass(frozen=True)
class Limits:
    """See ``EngineSettings``, where the same names are explained."""

    max_rows: int
    max_waiting: int
    max_cache_tokens: int
    max_prefill_tokens: int


class QueueFull(EngineError):
    """Too many requests wait already; trying again later helps."""

    code = "queue_full"


class Scheduler(Generic[RowType]):
    """A queue of rows with an admission rule. Not thread-safe: the engine guards it."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._waiting: deque[RowType] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, row: RowType) -> None:
        """Queue a row; raises ``QueueFull``, or ``EngineError`` for a row that could never be admitted."""
        if row.width > self.limits.max_rows:
            raise EngineError(
                f"The ensemble has {row.width} members, but the engine runs {self.limits.max_rows} rows at once.",
                code="too_many_adapters",
            )
        if row.width * row.budget > self.limits.max_cache_tokens:
            raise EngineError(
                f"The request may come to {row.width * row.budget} tokens, but the engine's cache holds "
                f"{self.limits.max_cache_tokens}. Shorten the prompt or ask for fewer tokens.",
                code="request_too_long",
            )
        if len(self._waiting) >= self.limits.max_waiting:
            raise QueueFull(f"{len(self._waiting)} requests are waiting already. Try again in a moment.")
        self._waiting.append(row)

    def remove_if(self, condition: Callable[[RowType], bool]) -> list[RowType]:
        """Take out and return the waiting rows for which ``condition`` holds."""
        taken = [row for row in self._waiting if condition(row)]
        if taken:
            self._waiting = deque(row for row in self._waiting if not any(row is other for other in taken))
        return taken

    def admit(self, running: SequenceOf[Running]) -> list[RowType]:
        """Take the rows that join now, from the head of the queue. Empty when nothing fits or nothing waits."""
        admitted: list[RowType] = []
        lanes = 0
        longest_budget = max((row.budget for row in running), default=0)
        longest_prompt = 0
        while self._waiting:
            row = self._waiting[0]
            rows = len(running) + lanes + row.width
            longest_budget = max(longest_budget, row.budget)
            longest_prompt = max(longest_prompt, len(row.prompt))
            prefill = longest_prompt * (lanes + row.width)
            if rows > self.limits.max_rows or rows * longest_budget > self.limits.max_cache_tokens:
                break
            # A single prompt above the prefill limit still has to run, alone.
            if admitted and prefill > self.limits.max_prefill_tokens:
                break
            admitted.append(self._waiting.popleft())
            lanes += row.width
        return admitted
