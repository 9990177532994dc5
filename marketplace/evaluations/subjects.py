"""What is evaluated: a base with weighted adapters, resolved to the bytes that they stand for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from inference_worker.contracts.common import PromptFormat
from inference_worker.contracts.generate import WeightedAdapter
from marketplace.adapters.models import Adapter, Artifact, Version
from marketplace.bases.models import Base
from marketplace.compositions.answering import prompt_format_of
from marketplace.compositions.members import Member


@dataclass(frozen=True)
class Subject:
    """``members`` on ``base``; without members the bare base. ``prompt_format`` is how its prompts are put where a
    suite does not say it. The members of an ``ensemble`` vote on every token instead of being added up."""

    base: Base
    members: tuple[Member, ...]
    prompt_format: PromptFormat
    ensemble: bool = False

    @property
    def digest(self) -> str:
        """Of the members' bytes and weights, in any order; a weight of 0 is absence."""
        rows = sorted([m.files.config, m.files.weights, m.weight] for m in self.members if m.weight != 0.0)
        table = {"ensemble": rows} if self.ensemble else rows
        return hashlib.sha256(json.dumps(table).encode()).hexdigest()

    @property
    def artifact(self) -> Artifact | None:
        """The one that it stands for: a single adapter at full weight."""
        if len(self.members) == 1 and self.members[0].weight == 1.0 and not self.ensemble:
            return self.members[0].artifact
        return None

    @property
    def label(self) -> str:
        return " + ".join(member.adapter.full_name for member in self.members) or f"the bare {self.base.name}"

    def rows(self) -> list[dict[str, Any]]:
        """The members as they are kept with a run."""
        more = {"ensemble": True} if self.ensemble else {}
        return [{**m.files.model_dump(), "weight": m.weight, "version": m.version.pk, **more} for m in self.members]

    def weighted(self) -> tuple[WeightedAdapter, ...]:
        return tuple(WeightedAdapter(adapter=m.files, weight=m.weight) for m in self.members)


def subject_of(members: Sequence[Member], base: Base) -> Subject:
    """A composition in the prompt format of its strongest member."""
    return Subject(base, tuple(members), prompt_format_of(base=base, members=members)[0])


def adapter_as_subject(adapter: Adapter, base: Base, version: Version | None = None) -> Subject:
    """One adapter at full weight, at ``version`` or at its current one."""
    chosen = version or adapter.current
    if chosen is None:
        raise ValueError(f"{adapter.full_name} has no version")
    return subject_of([Member(adapter, chosen, 1.0)], base)


def bare(base: Base, prompt_format: PromptFormat) -> Subject:
    return Subject(base, (), prompt_format)
