"""Merge sweep: many settings of one merge, measured on one suite as one job (kind ``merge_sweep``)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from inference_worker.contracts.common import BaseFiles, Contract, PromptFormat
from inference_worker.contracts.evaluate import Estimate, EvaluationSettings
from inference_worker.contracts.merge import MergeRequest

MAX_POINTS = 64
MAX_EXAMPLES = 512
#: Most parents that vote together as a bracket: each takes a row of the engine.
MAX_VOICES = 8

Text = Annotated[str, StringConstraints(max_length=20_000)]


class SweepExample(Contract):
    """``also`` are other right answers. ``task`` groups examples: of a parent's own, its name. ``prompt_format`` is the
    one of the adapter whose example it is, where that may be another than the suite's."""

    prompt: Annotated[str, StringConstraints(min_length=1, max_length=20_000)]
    expected: Text
    also: tuple[Text, ...] = ()
    task: str = ""
    prompt_format: PromptFormat | None = None


class SweepSuite(Contract):
    """What is asked: examples of the plan itself, or a built-in suite (``testbed:compositions``)."""

    name: str
    examples: tuple[SweepExample, ...] = Field(default=(), max_length=MAX_EXAMPLES)
    builtin: str = ""
    #: Examples per task of a built-in suite.
    count: int = Field(default=8, ge=1, le=64)
    prompt_format: PromptFormat = PromptFormat()

    @model_validator(mode="after")
    def _one_source(self) -> SweepSuite:
        if bool(self.examples) == bool(self.builtin):
            raise ValueError("a suite is a list of examples or a built-in one, and not both")
        return self


class SweepPoint(Contract):
    """One setting, with the words of what distinguishes it."""

    label: str
    merge: MergeRequest


class MergeSweepRequest(Contract):
    """Every point merges the same adapters."""

    base: BaseFiles
    points: tuple[SweepPoint, ...] = Field(min_length=1, max_length=MAX_POINTS)
    suite: SweepSuite
    settings: EvaluationSettings = EvaluationSettings()

    @model_validator(mode="after")
    def _same_adapters(self) -> MergeSweepRequest:
        if any(point.merge.adapters != self.points[0].merge.adapters for point in self.points):
            raise ValueError("every point of a sweep merges the same adapters")
        return self


class PairedDifference(Estimate):
    """A mean of paired differences with the examples that the second scored higher or lower on; None in results of
    before they were counted."""

    wins: int | None = None
    losses: int | None = None


class SweepCell(Contract):
    """What was measured of the base, a parent, all parents as an ensemble or a point; ``position`` counts within its
    kind.

    The ensemble answers by the mean log-probability of two to ``MAX_VOICES`` parents, token by token: a bracket that
    costs a run of every parent, which a merge saves. ``fault`` says why a point or the ensemble could not be made or
    measured; its estimates are empty then. The differences are of exact match on the same examples, with their own
    intervals: against the bare base, and against the best parent.
    """

    kind: Literal["base", "parent", "ensemble", "point"]
    position: int
    label: str
    overall: dict[str, Estimate] = {}
    tasks: dict[str, dict[str, Estimate]] = {}
    against_base: PairedDifference | None = None
    against_best_parent: PairedDifference | None = None
    rank: int | None = None
    seconds: float = 0.0
    fault: str = ""


class MergeSweepResult(Contract):
    """Base, parents and their ensemble first, then the points in order. Also what is kept of a sweep that was
    cancelled: the cells that were finished (``partial_name``)."""

    cells: tuple[SweepCell, ...]
    best_parent: int
    seconds: float
