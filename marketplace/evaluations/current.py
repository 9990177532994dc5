"""What an adapter's standing rests on: of each of its suites the run that measures what it is now.

That run is known by its key and not by its date. Others on the same suites are of the same adapter, too: beside
somebody's merge, in the merge's prompt format, or from before its owner took a change back.
"""

from __future__ import annotations

from collections.abc import Iterable

from django.db.models import Q, QuerySet
from django.db.models.fields.json import KT

from marketplace.evaluations.models import EvaluationRun, EvaluationSuite, Standing
from marketplace.evaluations.verdicts import MIN_EXAMPLES, effect_of, metric_of

_Kind = EvaluationSuite.Kind
#: By the effect on the probes; of everything else it is not known.
FORGETS: dict[str, bool] = {
    Standing.Verdict.WORSE: True,
    Standing.Verdict.NO_EFFECT: False,
    Standing.Verdict.BETTER: False,
}


def standings_on(runs: Iterable[EvaluationRun]) -> QuerySet[Standing]:
    """Of every adapter that one of the runs is to speak of, locked. Call inside a transaction."""
    wanted = Q(pk__in=[])
    for run in runs:
        wanted |= Q(keys__contains={str(run.suite_id): run.key})
    rows = Standing.objects.filter(wanted)
    return rows.select_for_update(of=("self",)).select_related("adapter__current").order_by("pk")


def refresh_standings(runs: Iterable[EvaluationRun]) -> None:
    """Of every adapter that one of the measured runs speaks of."""
    for standing in standings_on(runs):
        refresh_standing(standing)


def refresh_standing(standing: Standing) -> None:
    """Write what the current runs amount to."""
    found = current_runs(standing)
    judged = next((run for run in found if not run.suite.probe and run.difference), None)
    probe = next((run for run in found if run.suite.probe), None)
    standing.verdict = effect_of(judged)
    standing.gain, standing.gain_low = _gain(judged)
    standing.forgets = FORGETS.get(effect_of(probe))
    standing.save(update_fields=["verdict", "gain", "gain_low", "forgets"])


def _gain(run: EvaluationRun | None) -> tuple[float | None, float | None]:
    """In exact match, with the lower end of its interval."""
    if run is None or metric_of(run) != "exact_match":
        return None, None
    difference = run.difference["exact_match"]
    if difference["n"] < MIN_EXAMPLES:
        return None, None
    return float(difference["value"]), float(difference["low"])


def current_runs(standing: Standing) -> list[EvaluationRun]:
    """The measured run of the current version on each of its suites, as it is run now: parents' examples first, for
    merges, then its own, then the probes."""
    current = standing.adapter.current
    if current is None:
        return []
    runs = EvaluationRun.objects.filter(
        state=EvaluationRun.State.MEASURED,
        artifact=current.artifact_id,
        suite__in=standing.suites.all(),
        key__in=standing.keys.values(),
    ).select_related("suite", "against", "base")
    # One and the same measurement may have been made again.
    newest = {run.suite_id: run for run in runs.order_by("finished_at", "pk")}
    order = [_Kind.PARENTS, _Kind.EXAMPLES]
    return sorted(
        newest.values(),
        key=lambda run: order.index(_Kind(run.suite.kind)) if run.suite.kind in order else len(order),
    )


def as_run_now(runs: QuerySet[EvaluationRun], suite: EvaluationSuite) -> QuerySet[EvaluationRun]:
    """Those of ``runs``, all on ``suite``, that measure their adapter as it is now, where it stands on that suite."""
    rows = Standing.objects.filter(keys__has_key=str(suite.pk), adapter__current__isnull=False)
    wanted = rows.annotate(wanted=KT(f"keys__{suite.pk}")).values("wanted")
    return runs.filter(Q(key__in=wanted) | ~Q(artifact__in=rows.values("adapter__current__artifact")))


def runs_beside(run: EvaluationRun) -> list[EvaluationRun]:
    """The runs of what it was compared with on its suite, besides the bare base."""
    if not run.differences:
        return []
    others = EvaluationRun.objects.filter(pk__in=list(run.differences)).select_related("suite", "against", "base")
    return sorted(others, key=lambda other: other.label)
