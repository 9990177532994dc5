"""Two runs on one suite, example by example: wins, losses, and whether they differ by more than chance."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from inference_worker.contracts.evaluate import Outcome
from marketplace import policy
from marketplace.adapters.models import Adapter, Version
from marketplace.evaluations.models import EvaluationRun, EvaluationSuite
from marketplace.evaluations.selectors import numbers_of, outcomes_of
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


def sign_test(wins: int, losses: int) -> float:
    """Two-sided: the chance of a split at least so uneven when wins and losses are equally likely."""
    count, fewer = wins + losses, min(wins, losses)
    if wins == losses:
        return 1.0
    tail = sum(math.comb(count, number) for number in range(fewer + 1))
    return min(1.0, 2 * tail / 2**count)


def beside(
    *, user: policy.Person, adapter: Adapter, before: EvaluationRun | None, after: EvaluationRun
) -> Beside | None:
    """``after`` against ``before``; None where either has no outcomes."""
    if before is None:
        return None
    metric = metric_of(after)
    old, new = numbers_of(before), numbers_of(after)
    if not old or len(old) != len(new):
        return None
    changes = [_change(*pair, metric) for pair in zip(old, new, strict=True)]
    readable = {outcome.index for outcome in outcomes_of(user=user, adapter=adapter, run=after, found=new)}
    pairs = [Pair(*pair) for pair in zip(old, new, changes, strict=True) if pair[1].index in readable]
    pairs.sort(key=lambda pair: (("loss", "win", "same").index(pair.change), pair.after.index))
    shown = [pair for kind in ("loss", "win", "same") for pair in _first(pairs, kind)]
    counts = {kind: changes.count(kind) for kind in ("win", "loss", "same")}
    return Beside(before, after, metric, counts["win"], counts["loss"], counts["same"], tuple(shown))


def _first(pairs: list[Pair], kind: str) -> list[Pair]:
    return [pair for pair in pairs if pair.change == kind][:MAX_SHOWN]


def _change(before: Outcome, after: Outcome, metric: str) -> Change:
    difference = (getattr(after, metric) or 0.0) - (getattr(before, metric) or 0.0)
    return "same" if abs(difference) < _SAME else "win" if difference > 0 else "loss"


def versions_beside(*, user: policy.Person, adapter: Adapter, before: Version, after: Version) -> list[Beside]:
    """What two versions of an adapter answered, on every suite that both were run on in the same way."""
    if before.artifact_id == after.artifact_id:
        return []
    found = []
    runs = EvaluationRun.objects.filter(state=EvaluationRun.State.MEASURED).select_related("suite__adapter", "against")
    newest: dict[tuple[object, ...], EvaluationRun] = {}
    for run in runs.filter(artifact__in=[before.artifact_id, after.artifact_id]).order_by("finished_at", "pk"):
        newest[(run.suite_id, run.artifact_id)] = run
    for (suite, artifact), run in newest.items():
        other = newest.get((suite, before.artifact_id))
        if artifact != after.artifact_id or other is None or other.options != run.options:
            continue
        if _shown(user, adapter, run.suite) and (pair := beside(user=user, adapter=adapter, before=other, after=run)):
            found.append(pair)
    return sorted(
        found, key=lambda pair: (pair.after.suite.kind != EvaluationSuite.Kind.EXAMPLES, pair.after.suite.name)
    )


def _shown(user: policy.Person, adapter: Adapter, suite: EvaluationSuite) -> bool:
    return suite.adapter_id == adapter.pk or policy.may_see_suite(user, suite)
