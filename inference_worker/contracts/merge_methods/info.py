"""What everybody may know of a merge method: its name, words and options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from inference_worker.contracts.common import Contract


class NoOptions(Contract):
    """For methods that have nothing to choose."""


@dataclass(frozen=True)
class MergeMethodInfo:
    """One method. ``rank`` is ``sum`` when the result's rank is the sum of its parents' and ``choose`` when it can be
    given; ``exact`` when the result equals the weighted sum (up to the chosen rank)."""

    name: str
    title: str
    explanation: str
    paper: str
    exact: bool
    rank: Literal["sum", "choose", "same"]
    options: type[Contract]

    def describe(self) -> dict[str, Any]:
        """JSON-safe description with the options' JSON schema."""
        return {
            "name": self.name,
            "title": self.title,
            "explanation": self.explanation,
            "paper": self.paper,
            "exact": self.exact,
            "rank": self.rank,
            "options": self.options.model_json_schema(),
        }
