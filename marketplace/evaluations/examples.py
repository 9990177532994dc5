"""Two runs on one suite, example by example: wins, losses, and whether they differ by more than chance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from inference_worker.contracts.evaluate import Outcome
from marketplace import policy
from marketplace.adapters.models import Adapter, Version
from marketplace.evaluations.models import EvaluationRun, EvaluationSuite
from marketplace.evaluations.selectors import may_see_numbers, numbers_of, outcomes_of
from marketplace.evaluations.signs import sign_test
from marketplace.evaluations.verdicts import METRICS, metric_of

Change = Literal["win", "loss", "same"]
#: As many examples are listed of each kind; the counts are of all.
MAX_SHOWN = 100
#: Scores that differ by less are the same.
_SAME = 1e-9


@dataclass(frozen=True)
class Pair:
    """One example as both answered it; ``before`` and ``after`` hold answers and scores."""

    before: Outcome
    after: Outcome
    change: Change


@dataclass(frozen=True)
class Beside:
    """``pairs`` are those that the asker may read, losses first; the counts are of all examples."""

    before: EvaluationRun
    after: EvaluationRun
    metric: str
    wins: int
    losses: int
    same: int
    pairs: tuple[Pair, ...]

    @property
    def metric_title(self) -> str:
        return METRICS[self.metric]

    @property
    def chance(self) -> float:
        """The probability that chance alone makes wins and losses differ so much (exact sign test, two-sided)."""
        return sign_test(self.wins, self.losses)

    @property
    def hidden(self) -> int:
        return self.wins + self.losses + self.same - len(self.pairs)


def beside(
    *,
    user: policy.Person,
    adapter: Adapter,
    before: EvaluationRun | None,
    after: EvaluationRun,
    most: int | None = MAX_SHOWN,
) -> Beside | None:
    """``after`` against ``before``, with at most so many pairs of each kind; None where either has no outcomes."""
    if before is None:
        return None
    metric = metric_of(after)
    if before.difference and metric_of(before) == "exact_match":
        # Where one of two versions has an exact match, whether the other has is what counts.
        metric = "exact_match"
    old, new = numbers_of(before), numbers_of(after)
    if not old or len(old) != len(new):
        return None
    changes = [_change(*pair, metric) for pair in zip(old, new, strict=True)]
    readable = {outcome.index for outcome in outcomes_of(user=user, adapter=adapter, run=after, found=new)}
    pairs = [Pair(*pair) for pair in zip(old, new, changes, strict=True) if pair[1].index in readable]
    pairs.sort(key=lambda pair: (("loss", "win", "same").index(pair.change), pair.after.index))
    shown = [pair for kind in ("loss", "win", "same") for pair in _first(pairs, kind, most)]
    counts = {kind: changes.count(kind) for kind in ("win", "loss", "same")}
    return Beside(before, after, metric, counts["win"], counts["loss"], counts["same"], tuple(shown))


def _first(pairs: list[Pair], kind: str, most: int | None) -> list[Pair]:
    return [pair for pair in pairs if pair.change == kind][:most]


def _change(before: Outcome, after: Outcome, metric: str) -> Change:
    difference = (getattr(after, metric) or 0.0) - (getattr(before, metric) or 0.0)
    return "same" if abs(difference) < _SAME else "win" if difference > 0 else "loss"


def versions_beside(*, user: policy.Person, adapter: Adapter, before: Version, after: Version) -> list[Beside]:
    """What two versions of an adapter answered, on every suite that both were run on in the same way.

    The key of the bare base beside a run holds the engine, the base's source and revision, the settings and the prompt
    format: runs beside bases of two keys differ by more than their version, and are not compared.
    """
    if before.artifact_id == after.artifact_id:
        return []
    runs = EvaluationRun.objects.filter(state=EvaluationRun.State.MEASURED).select_related("suite__adapter", "against")
    runs = runs.filter(artifact__in=[before.artifact_id, after.artifact_id], against__isnull=False)
    ways = ("suite_id", "against__key", "artifact_id")
    newest = {
        (run.suite_id, run.against.key, run.artifact_id): run
        for run in runs.order_by(*ways, "-finished_at", "-pk").distinct(*ways)
        if run.against is not None
    }
    alike: dict[object, tuple[EvaluationRun, EvaluationRun]] = {}
    for (suite, way, artifact), run in sorted(newest.items(), key=lambda row: row[1].finished_at or row[1].created_at):
        other = newest.get((suite, way, before.artifact_id))
        if artifact == after.artifact_id and other is not None and may_see_numbers(user, adapter, run.suite):
            alike[suite] = (other, run)
    pairs = (beside(user=user, adapter=adapter, before=old, after=new) for old, new in alike.values())
    found = [pair for pair in pairs if pair is not None]
    return sorted(
        found, key=lambda pair: (pair.after.suite.kind != EvaluationSuite.Kind.EXAMPLES, pair.after.suite.name)
    )
