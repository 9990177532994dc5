"""What everybody may know of a merge method: its name, words and options."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from inference_worker.contracts.common import Contract
from inference_worker.contracts.merge_methods.rules import (
    CaveatRule,
    MemberFacts,
    Refusal,
    RefusalRule,
    carried_as_it_is,
    no_caveats,
    takes_all,
)


class NoOptions(Contract):
    """For methods that have nothing to choose."""


@dataclass(frozen=True)
class MergeMethodInfo:
    """One method. ``rank`` is ``sum`` when the result's rank is the sum of its parents' and ``choose`` when it can be
    given; ``exact`` when the result equals the weighted sum (up to the chosen rank). ``refuse`` and ``warn`` are the
    method's own rules about its members."""

    name: str
    title: str
    explanation: str
    paper: str
    exact: bool
    rank: Literal["sum", "choose", "same"]
    options: type[Contract]
    refuse: RefusalRule = takes_all
    warn: CaveatRule = no_caveats
    #: Whether it finds the weights itself, from examples.
    examples: bool = False

    def refusal(self, members: Sequence[MemberFacts], options: Contract | None = None) -> Refusal | None:
        """Why the method cannot merge ``members`` with ``options`` (its defaults unless told); None when it can."""
        chosen = options or self.options()
        return carried_as_it_is(members, chosen) or self.refuse(members, chosen)

    def caveats(self, members: Sequence[MemberFacts], options: Contract | None = None) -> list[str]:
        """What to know before merging ``members`` with ``options``, in sentences."""
        return [*self._magnitudes(members), *self.warn(members, options or self.options())]

    def _magnitudes(self, members: Sequence[MemberFacts]) -> list[str]:
        """Of adapters with magnitudes, which are carried as they are beside an update that may not be."""
        if self.exact or self.rank == "same":
            return []
        words = (
            "has magnitudes that were trained with its whole update (DoRA); they do not follow what is left out of it"
        )
        return [f"{member.label} {words}." for member in members if "dora" in member.features]

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
            "examples": self.examples,
        }
